"""Move the notes of older checkouts, in which an app called showcase kept them."""
# ruff: noqa: ARG001, RUF012 -- as Django calls and generates it

from django.db import migrations


def move(apps, schema_editor):
    if "showcase_note" in schema_editor.connection.introspection.table_names():
        schema_editor.execute(
            "INSERT INTO notes_note (text, created_at)"
            " SELECT text, created_at FROM showcase_note ORDER BY id"
        )
        schema_editor.execute("DROP TABLE showcase_note")


class Migration(migrations.Migration):
    dependencies = [("notes", "0001_initial")]

    operations = [migrations.RunPython(move, migrations.RunPython.noop)]
