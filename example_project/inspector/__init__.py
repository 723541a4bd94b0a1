"""The inspector: a page that plays scenarios and shows live what passes through the stack."""
