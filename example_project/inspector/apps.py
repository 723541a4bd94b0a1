from django.apps import AppConfig


class InspectorConfig(AppConfig):
    name = "example_project.inspector"
