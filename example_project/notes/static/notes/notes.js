// Shows a note at once when somebody else saves it. Our own note is already on the page.

const list = document.querySelector("#notes");

new EventSource(list.dataset.stream).addEventListener("message", ({ data }) => {
  const note = JSON.parse(data);
  if (list.querySelector(`[data-id="${note.id}"]`)) return;
  const item = document.createElement("li");
  item.dataset.id = note.id;
  item.textContent = note.text;
  list.prepend(item);
});
