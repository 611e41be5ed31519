"""Django's admin over the view incomplete_orders: list, filters, search, read-only detail, actions.

Put it beside the models.py that models.sed makes. Django's database role needs
the purpose admin:  SELECT incomplete_orders.grant_to('django', 'admin', 'default');
The view has every order, so the list begins with those of the last 30 days;
search goes through find_orders(), which uses the extension's indexes.
"""

from datetime import timedelta

from django.contrib import admin, messages
from django.db import connections, transaction
from django.utils import timezone

from .models import IncompleteOrders

STATUSES = ["pending", "payment_pending", "payment_failed", "abandoned", "converted", "expired", "dismissed", "deleted", "reversed"]


class Status(admin.SimpleListFilter):
    """Written out: Django would read all orders to learn which there are."""

    title = parameter_name = "status"

    def lookups(self, request, model_admin):
        return [(status, status.replace("_", " ")) for status in STATUSES]

    def queryset(self, request, queryset):
        return queryset.filter(status=self.value()) if self.value() in STATUSES else queryset


class Created(admin.SimpleListFilter):
    title = parameter_name = "created"

    def lookups(self, request, model_admin):
        return [("1", "today"), ("7", "last 7 days"), ("90", "last 90 days"), ("365", "last year"), ("all", "all")]

    def queryset(self, request, queryset):
        # A search looks at all of them.
        if self.value() == "all" or (self.value() is None and request.GET.get("q")):
            return queryset
        days = int(self.value()) if self.value() in ("1", "7", "90", "365") else 30
        return queryset.filter(created_at__gte=timezone.now() - timedelta(days=days))


class Guest(admin.SimpleListFilter):
    title, parameter_name = "guest", "guest"

    def lookups(self, request, model_admin):
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request, queryset):
        return queryset.filter(is_guest=self.value() == "yes") if self.value() in ("yes", "no") else queryset


@admin.register(IncompleteOrders)
class IncompleteOrderAdmin(admin.ModelAdmin):
    list_display = ("reference", "email", "status", "total", "currency", "item_count", "days_old", "recovery_attempts", "can_convert", "created_at")
    list_filter = (Status, Created, Guest)
    search_fields = ("email",)  # shows the field; get_search_results() answers
    ordering = ("-created_at", "-id")
    list_per_page = 50
    show_full_result_count = False
    actions = ("convert", "mark_abandoned", "dismiss")

    def get_search_results(self, request, queryset, search_term):
        if not search_term:
            return queryset, False
        with connections[queryset.db].cursor() as cursor:
            cursor.execute("SELECT id FROM incomplete_orders.find_orders(%s)", [search_term])
            found = [row[0] for row in cursor]
        return queryset.filter(pk__in=found), False

    # Orders are changed by functions, never by a form over a row.
    def has_add_permission(self, request):
        return False

    def has_delete_permission(self, request, obj=None):
        return False

    def has_change_permission(self, request, obj=None):
        # Without an object: whether the list offers actions.
        return obj is None and super().has_change_permission(request)

    def call(self, request, queryset, sql, *values):
        """One call for all that are marked, with a result for each; the history names who did it."""
        with transaction.atomic(using=queryset.db), connections[queryset.db].cursor() as cursor:
            cursor.execute("SELECT set_config('incomplete_orders.staff', %s, true)", [request.user.get_username()])
            cursor.execute(sql, [list(queryset.values_list("pk", flat=True)), *values])
            for order, result, reason in cursor.fetchall():
                level = messages.SUCCESS if result not in ("refused", "failed") else messages.WARNING
                self.message_user(request, f"{order}: {result}" + (f" ({reason})" if reason else ""), level)

    @admin.action(description="Convert to orders", permissions=["change"])
    def convert(self, request, queryset):
        self.call(request, queryset, "SELECT id, result, reason FROM incomplete_orders.convert_orders(%s::uuid[])")

    @admin.action(description="Mark abandoned", permissions=["change"])
    def mark_abandoned(self, request, queryset):
        self.call(request, queryset, "SELECT id, result, reason FROM incomplete_orders.mark_abandoned_many(%s::uuid[])")

    @admin.action(description="Dismiss", permissions=["change"])
    def dismiss(self, request, queryset):
        self.call(request, queryset, "SELECT id, result, reason FROM incomplete_orders.dismiss_orders(%s::uuid[], %s)", "by staff")
