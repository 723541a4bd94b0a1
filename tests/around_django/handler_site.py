"""A typical site: Django's admin, and an API made with Django REST framework."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.urls import include, path
from rest_framework import (  # type: ignore[import-untyped]  # pyright: ignore[reportMissingTypeStubs]
    routers,
    serializers,
    viewsets,
)


class GroupSerializer(serializers.ModelSerializer):  # type: ignore[misc]
    class Meta:
        model = Group
        fields = ("id", "name")


class GroupViewSet(viewsets.ModelViewSet):  # type: ignore[misc]
    queryset = Group.objects.order_by("pk")
    serializer_class = GroupSerializer


router: Any = routers.DefaultRouter()
router.register("groups", GroupViewSet)
urlpatterns = [path("admin/", admin.site.urls), path("api/", include(router.urls))]
