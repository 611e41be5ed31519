# incomplete_orders: the extension (PGXS) and the entry to everything else.
# `make help` lists the targets.

EXTENSION = incomplete_orders
EXTVERSION = $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" $(EXTENSION).control)

MODULE_big = incomplete_orders
OBJS = \
	src/incomplete_orders.o \
	src/guc.o \
	src/plan.o \
	src/uuid7.o \
	src/search.o \
	src/secret.o \
	src/rights.o \
	src/rollup.o \
	src/rules.o \
	src/tenant.o \
	src/line_items.o \
	src/line_items_type.o \
	src/line_items_json.o \
	src/line_items_write.o \
	src/line_items_diff.o \
	src/money.o \
	src/facts.o \
	src/direct.o \
	src/direct_row.o \
	src/append.o \
	src/event.o \
	src/recount.o \
	src/capture.o \
	src/capture_batch.o \
	src/capture_page.o \
	src/cart_json.o \
	src/checkout.o \
	src/merge.o \
	src/lifecycle.o \
	src/message.o \
	src/token.o \
	src/suppress.o \
	src/consent.o \
	src/privacy.o \
	src/link.o \
	src/campaign.o \
	src/coupon.o \
	src/recovery.o \
	src/queue.o \
	src/queue_message.o \
	src/queue_timing.o \
	src/stock.o \
	src/template.o \
	src/preview.o \
	src/queue_answer.o \
	src/restore.o \
	src/closing.o \
	src/life.o \
	src/invariants.o \
	src/convert_lines.o \
	src/convert.o \
	src/history.o \
	src/hook.o \
	src/attach.o \
	src/tick.o \
	src/tick_payments.o \
	src/mark.o \
	src/mark_drain.o \
	src/attach_read.o \
	src/attach_list.o \
	src/attach_sample.o \
	src/attach_cart.o \
	src/attach_apply.o \
	src/attach_tick.o \
	src/attach_claim.o \
	src/reverse.o \
	src/payment.o \
	src/list.o

# The install script is these parts in this order; it is not committed.
SQL_SETUP = \
	sql/tables/begin.sql \
	sql/tables/shops.sql \
	sql/tables/orders.sql \
	sql/tables/events.sql \
	sql/tables/rollups.sql \
	sql/tables/jobs.sql \
	sql/tables/attach.sql \
	sql/tables/marks.sql \
	sql/tables/webhooks.sql \
	sql/tables/messages.sql \
	sql/tables/views.sql \
	sql/tables/triggers.sql \
	sql/tables/end.sql
SQL_PARTS = \
	sql/prologue.sql \
	sql/types/enums.sql \
	sql/types/line_items.sql \
	sql/functions/tenant.sql \
	sql/functions/triggers.sql \
	sql/functions/partitions.sql \
	$(SQL_SETUP) \
	sql/functions/remove.sql \
	sql/functions/shops.sql \
	sql/functions/settings.sql \
	sql/functions/members.sql \
	sql/functions/capture.sql \
	sql/functions/checkout.sql \
	sql/functions/life.sql \
	sql/functions/convert.sql \
	sql/functions/tick.sql \
	sql/functions/marks.sql \
	sql/functions/persons.sql \
	sql/functions/rules.sql \
	sql/functions/privacy.sql \
	sql/functions/templates.sql \
	sql/functions/campaigns.sql \
	sql/functions/steps.sql \
	sql/functions/ledger.sql \
	sql/functions/experiments.sql \
	sql/functions/coupons.sql \
	sql/functions/messages.sql \
	sql/functions/links.sql \
	sql/functions/list.sql \
	sql/functions/pages.sql \
	sql/functions/sequences.sql \
	sql/functions/presets.sql \
	sql/functions/attach.sql \
	sql/functions/retention.sql \
	sql/functions/webhooks.sql \
	sql/functions/mail_events.sql \
	sql/functions/rollups.sql \
	sql/functions/analytics.sql \
	sql/functions/arms.sql \
	sql/functions/statistics.sql \
	sql/functions/reports.sql \
	sql/functions/jobs.sql \
	sql/functions/health.sql \
	sql/privileges.sql
SQL_SCRIPT = sql/$(EXTENSION)--$(EXTVERSION).sql

DATA_built = $(SQL_SCRIPT)
DATA = $(wildcard sql/updates/$(EXTENSION)--*--*.sql)

PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -std=gnu99
EXTRA_CLEAN = $(SQL_SCRIPT)

# Against a server where the extension is installed; `make test` brings its own.
# The order of the regression tests is that of test/schedule.
REGRESS = $(shell sed -n 's/^test: *//p' test/schedule)
REGRESS_OPTS = --inputdir=test
ISOLATION = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=$(EXTENSION)
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

.DEFAULT_GOAL := all
PG_CONFIG ?= pg_config
export PG_CONFIG
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs 2>/dev/null))
ifneq ($(PGXS),)
include $(PGXS)

$(SQL_SCRIPT): $(SQL_PARTS) $(EXTENSION).control Makefile
	cat $(SQL_PARTS) > $@

$(OBJS): $(wildcard src/*.h)

# The program beside the database has a makefile of its own.
all: sidecar-all
install: sidecar-install
uninstall: sidecar-uninstall
clean: sidecar-clean
.PHONY: sidecar-all sidecar-install sidecar-uninstall sidecar-clean
sidecar-install: sidecar-all
sidecar-all sidecar-install sidecar-uninstall sidecar-clean:
	@$(MAKE) --no-print-directory -C src/sidecar $(@:sidecar-%=%)
else
# Without PGXS only the targets below work, `make packages` first of all.
all install installcheck clean:
	@echo "$(PG_CONFIG) --pgxs names no makefile: PostgreSQL's server headers are missing." >&2
	@echo "\`make packages\` installs them, or name another one: make PG_CONFIG=/path/to/pg_config" >&2
	@exit 1
endif

.PHONY: help packages checkver test test-shops bench demo demo-stop

help:
	@tools/help

packages:
	@tools/packages

checkver:
	@tools/checkver

# make test SUITE=regress runs one suite; KEEP=1 keeps the temporary folder.
test:
	@tools/packages build test demo
	@test/run $(SUITE)

# Real shops, from the npm registry; make test-shops SHOPS=vendure plays one.
test-shops:
	@tools/packages build demo shops
	@test/shops/run $(SHOPS)

bench:
	@tools/packages build demo bench
	@test/bench/run $(BENCH)

demo:
	@tools/packages build demo
	@tools/demo start

demo-stop:
	@tools/demo stop
