# Makes of what `inspectdb` writes for our views models that Django can use:
#
#   PGOPTIONS='-c search_path=incomplete_orders' ./manage.py inspectdb incomplete_orders | sed -f models.sed >shop/models.py
#
# A view has no key, sums have no fixed size, and the schema is not in the path.
s/^    id = models.UUIDField(.*)/    id = models.UUIDField(primary_key=True)/
s/max_digits=[0-9A-Za-z]*, decimal_places=[0-9A-Za-z]*/max_digits=30, decimal_places=2/
s/^        db_table = '\(.*\)'/        db_table = 'incomplete_orders"."\1'\n        verbose_name_plural = 'incomplete orders'/
s/  # This field type is a guess\.$//
