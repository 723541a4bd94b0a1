from asgi_middleware import ConfigurationError


def test_a_configuration_error_lists_every_problem_on_a_line_of_its_own() -> None:
    error = ConfigurationError("CORSMiddleware", ["a: is wrong; use b", "c: is wrong too"])

    assert str(error) == "CORSMiddleware: a: is wrong; use b\nCORSMiddleware: c: is wrong too"
    assert error.problems == ("a: is wrong; use b", "c: is wrong too")


def test_a_configuration_error_is_a_value_error() -> None:
    assert issubclass(ConfigurationError, ValueError)
