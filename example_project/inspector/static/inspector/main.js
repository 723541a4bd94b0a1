// Puts the parts of the page together. `live` delivers what passes through the stack.

import { Live } from "./live.js";
import { showCounters } from "./counters.js";
import { showScenarios } from "./scenarios.js";
import { showRows } from "./rows.js";

const live = new Live();

showConnection(document.querySelector("#connection"));
showCounters(document.querySelector("#counters"), live);
showRows(document.querySelector(".live"), live);
showScenarios(document.querySelector(".stage"), live);
live.connect();

function showConnection(place) {
  live.addEventListener("state", ({ detail: { state, words } }) => {
    place.dataset.state = state;
    place.textContent = words;
  });
}
