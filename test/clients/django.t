#!/usr/bin/python3
"""Django: models by inspectdb over the views, and its admin over examples/django, in a project of its own.

The role is no superuser: it has the purpose admin of one shop, and another shop has orders, too.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True

import psycopg2

try:
    import django
except ImportError:
    print("1..0 # SKIP Django is not installed")
    sys.exit(0)

EXAMPLE = Path(__file__).resolve().parent / "../../examples/django"
ROLE, WORD = "django_staff", "django-word"
ORDERS = 120  # more than two pages
done = failed = 0


def ok(good, what, *why):
    global done, failed
    done += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {done} - {what}", flush=True)
    if not good:
        print("# " + "\n".join(map(str, why))[:4000].replace("\n", "\n# "), file=sys.stderr)


SETTINGS = f"""
SECRET_KEY = "test"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "project.urls"
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes",
                  "django.contrib.sessions", "django.contrib.messages", "shop"]
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware",
              "django.middleware.csrf.CsrfViewMiddleware",
              "django.contrib.auth.middleware.AuthenticationMiddleware",
              "django.contrib.messages.middleware.MessageMiddleware"]
TEMPLATES = [{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True,
              "OPTIONS": {{"context_processors": ["django.template.context_processors.request",
                  "django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages"]}}}}]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "NAME": "{os.environ['PGDATABASE']}", "USER": "{ROLE}",
             "PASSWORD": "{WORD}", "HOST": "127.0.0.1", "PORT": "{os.environ['PGPORT']}"}}}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "/static/"
"""


def prepare(admin):
    admin.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{WORD}'")
    # Django's own tables.
    admin.execute(f"CREATE SCHEMA {ROLE} AUTHORIZATION {ROLE}")
    admin.execute("SELECT incomplete_orders.create_shop('django-north', 'North'), incomplete_orders.create_shop('django-south', 'South')")
    admin.execute("SELECT incomplete_orders.grant_to(%s, 'admin', 'django-north')", (ROLE,))
    admin.execute("""SELECT count(incomplete_orders.capture_cart(session_id => 'django-' || n, items => '[{"sku":"A","quantity":2,"unit_price":"19.90"}]',
        email => CASE WHEN n %% 2 = 0 THEN 'c' || n || '@django.example' END, customer_id => CASE WHEN n %% 2 = 0 THEN n::text END, shop => 'django-' || s))
        FROM generate_series(1, %s) n, unnest(ARRAY['north', 'south']) s""", (ORDERS,))


def project(folder):
    (folder / "project").mkdir()
    (folder / "project/__init__.py").write_text("")
    (folder / "project/settings.py").write_text(SETTINGS)
    (folder / "project/urls.py").write_text("from django.contrib import admin\nfrom django.urls import path\nurlpatterns = [path('admin/', admin.site.urls)]\n")
    (folder / "shop").mkdir()
    (folder / "shop/__init__.py").write_text("")
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "project.settings", "PYTHONPATH": str(folder),
                   "PYTHONDONTWRITEBYTECODE": "1", "PGOPTIONS": "-c search_path=incomplete_orders"}
    inspected = subprocess.run([sys.executable, "-m", "django", "inspectdb", "incomplete_orders"], env=environment, cwd=folder,
                               capture_output=True, text=True, timeout=120)
    ok(inspected.returncode == 0 and "class IncompleteOrders(models.Model)" in inspected.stdout and "managed = False" in inspected.stdout,
       "inspectdb makes a model of the view", inspected.stdout, inspected.stderr)
    models = subprocess.run(["sed", "-f", EXAMPLE / "models.sed"], input=inspected.stdout, capture_output=True, text=True, check=True).stdout
    (folder / "shop/models.py").write_text(models)
    (folder / "shop/admin.py").write_text((EXAMPLE / "admin.py").read_text())
    return models


def rows(page):
    return len(re.findall(r'class="action-select"', page))


def play(admin):
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from shop.models import IncompleteOrders

    call_command("check", stdout=open(os.devnull, "w"))
    call_command("migrate", verbosity=0)
    ok(IncompleteOrders.objects.count() == ORDERS, "the model counts the orders of its shop, and no others", IncompleteOrders.objects.count())
    first = IncompleteOrders.objects.filter(email="c2@django.example").get()
    ok((str(first.total), first.status, first.items[0]["sku"], first.is_guest) == ("39.80", "pending", "A", False), "an order as an object", vars(first))
    found = IncompleteOrders.objects.filter(status__in=["pending", "abandoned"], total__gte=20, created_at__isnull=False).order_by("-created_at", "-id")[10:15]
    ok(len(found) == 5, "a query set with filters, order and a slice", found.query)
    ok(IncompleteOrders.objects.filter(items__contains=[{"sku": "A"}]).count() == ORDERS, "a JSON filter")

    User.objects.create_superuser("jane", "jane@staff.example", "word")
    client = Client()
    ok(client.get("/admin/shop/incompleteorders/").status_code == 302, "the list asks for a login")
    client.login(username="jane", password="word")

    def page(query="", of=""):
        with CaptureQueriesContext(connection) as queries:
            answer = client.get(f"/admin/shop/incompleteorders/{of}{query}")
        return answer.status_code, answer.content.decode(), [q["sql"] for q in queries]

    code, html, queries = page()
    ok(code == 200 and rows(html) == 50 and "39.80" in html and "@django.example" in html, "the list shows the first page", code, html)
    over = [q for q in queries if '"incomplete_orders"."incomplete_orders"' in q]
    # How many orders there are, and the orders: no more for more rows.
    ok(len(over) <= 3 and len(queries) <= 6, f"the page of 50 rows takes {len(queries)} queries, {len(over)} of the view", *queries)
    less = page("?p=3")
    ok(rows(less[1]) == ORDERS - 100 and len(less[2]) == len(queries), "the last page has the rest, and takes as many", rows(less[1]), len(less[2]))
    ok(rows(page("?status=pending")[1]) == 50 and rows(page("?status=converted")[1]) == 0, "filter by status")
    ok("60 incomplete orders" in page("?guest=yes")[1], "filter of guests")
    ok(rows(page("?created=1")[1]) == 50 and rows(page("?created=all&p=1")[1]) == 50, "filter by date")
    for what, wanted in (("c2@django.example", 1), (first.reference, 1), ("django-7", 1), ("c10*", 6), ("nobody@django.example", 0), ("'; DROP TABLE x; --", 0)):
        code, html, _ = page("?q=" + what.replace("'", "%27").replace(" ", "%20").replace(";", "%3B"))
        ok(code == 200 and rows(html) == wanted, f"search for {what}", code, rows(html))
    code, html, _ = page(of=f"{first.pk}/change/")
    ok(code == 200 and first.reference in html and 'name="_save"' not in html, "one order, to read", code, html)
    ok(client.get("/admin/shop/incompleteorders/add/").status_code == 403, "none is added by a form")

    def act(action, ids):
        answer = client.post("/admin/shop/incompleteorders/", {"action": action, "_selected_action": [str(i) for i in ids]}, follow=True)
        return answer.content.decode()

    ids = list(IncompleteOrders.objects.filter(email__isnull=False).order_by("id").values_list("pk", flat=True)[:3])
    html = act("dismiss", ids[:2])
    ok(html.count("dismissed") >= 2 and IncompleteOrders.objects.filter(status="dismissed").count() == 2, "an action, with a result for each", html)
    html = act("convert", [ids[2]])
    ok(IncompleteOrders.objects.get(pk=ids[2]).order_number is not None, "an order is converted", html)
    admin.execute("SELECT DISTINCT h.who FROM unnest(%s::uuid[]) i, incomplete_orders.order_history(i) h WHERE h.event = 'dismissed'", (list(map(str, ids)),))
    who = admin.fetchall()
    ok(len(who) == 1 and "jane" in who[0][0], "the history names who did it", who)
    admin.execute("SELECT id FROM incomplete_orders.incomplete_orders WHERE shop = 'django-south' LIMIT 1")
    other = admin.fetchone()[0]
    ok(page(of=f"{other}/change/")[0] == 302, "an order of another shop does not exist")
    connection.close()


def main():
    admin_connection = psycopg2.connect("")
    admin_connection.autocommit = True
    admin = admin_connection.cursor()
    prepare(admin)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = project(folder)
        ok('db_table = \'incomplete_orders"."incomplete_orders\'' in models and "    id = models.UUIDField(primary_key=True)\n" in models, "with the three changes of models.sed it has a key", models)
        os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
        sys.path.insert(0, name)
        os.chdir(name)
        django.setup()
        play(admin)
        os.chdir("/")
    admin.execute(f"DROP SCHEMA {ROLE} CASCADE")
    admin.execute("SELECT incomplete_orders.revoke_from(%s, 'admin', 'django-north')", (ROLE,))
    admin.execute(f"DROP ROLE {ROLE}")
    print(f"1..{done}")


main()
sys.exit(1 if failed else 0)
