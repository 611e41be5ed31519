# incomplete_orders: the extension (PGXS) and the entry to everything else.
# `make help` lists the targets.

EXTENSION = incomplete_orders
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(EXTENSION).control)

MODULE_big = incomplete_orders
OBJS = \
	src/incomplete_orders.o \
	src/plan.o \
	src/uuid7.o \
	src/rights.o \
	src/tenant.o \
	src/line_items.o \
	src/line_items_json.o \
	src/facts.o \
	src/capture.o \
	src/lifecycle.o \
	src/convert.o \
	src/list.o

# The install script is these parts in this order; it is not committed.
SQL_SETUP = \
	sql/tables/begin.sql \
	sql/tables/shops.sql \
	sql/tables/orders.sql \
	sql/tables/events.sql \
	sql/tables/views.sql \
	sql/tables/triggers.sql \
	sql/tables/end.sql
SQL_PARTS = \
	sql/prologue.sql \
	sql/types/enums.sql \
	sql/types/line_items.sql \
	sql/functions/tenant.sql \
	sql/functions/triggers.sql \
	$(SQL_SETUP) \
	sql/functions/remove.sql \
	sql/functions/shops.sql \
	sql/functions/capture.sql \
	sql/functions/life.sql \
	sql/functions/convert.sql \
	sql/functions/list.sql \
	sql/privileges.sql
SQL_SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql

DATA_built = $(SQL_SCRIPT)
DATA = $(wildcard sql/updates/$(EXTENSION)--*--*.sql)

PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -std=gnu99
EXTRA_CLEAN = $(SQL_SCRIPT)

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(SQL_SCRIPT): $(SQL_PARTS) $(EXTENSION).control Makefile
	cat $(SQL_PARTS) > $@

$(OBJS): $(wildcard src/*.h)
