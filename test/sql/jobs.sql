-- schedule_jobs() where pg_cron cannot be reached; test/t/ has the real one.
\set VERBOSITY terse
\pset null (null)
CREATE ROLE regress_job_ticker LOGIN;
CREATE ROLE regress_job_group;
CREATE ROLE regress_job_app LOGIN;
CREATE ROLE regress_job_nobody LOGIN;
SELECT incomplete_orders.grant_to('regress_job_ticker', 'sender'), incomplete_orders.grant_to('regress_job_group', 'sender'),
	incomplete_orders.grant_to('regress_job_app', 'app'), incomplete_orders.grant_to('regress_job_nobody', 'sender');

-- Not loaded: what does it instead.
SELECT * FROM incomplete_orders.schedule_jobs();
SELECT * FROM incomplete_orders.jobs();
SELECT * FROM incomplete_orders.unschedule_jobs();
SET ROLE regress_job_app;
SELECT * FROM incomplete_orders.schedule_jobs();
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_job_ticker;
SELECT job, command FROM incomplete_orders.schedule_jobs();
RESET ROLE;

-- In another database: the statements for an administrator, for the role that calls.
SET cron.database_name = 'another db';
SET ROLE regress_job_ticker;
\x on
SELECT * FROM incomplete_orders.schedule_jobs();
SELECT * FROM incomplete_orders.unschedule_jobs();
\x off
SELECT * FROM incomplete_orders.jobs();
-- A role that cannot log in cannot run a job.
SET ROLE regress_job_group;
SELECT * FROM incomplete_orders.schedule_jobs();
\echo :LAST_ERROR_SQLSTATE
-- Nor one that has no shop left, though it kept the right to execute.
RESET ROLE;
DELETE FROM incomplete_orders.shop_members WHERE role_name = 'regress_job_nobody';
SET ROLE regress_job_nobody;
SELECT * FROM incomplete_orders.schedule_jobs();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;

-- In this database, but not created.
SELECT set_config('cron.database_name', current_database(), false) = current_database() AS here;
SELECT starts_with(command, 'CREATE EXTENSION IF NOT EXISTS pg_cron; ') AS creates, state = format('to be run by a superuser in database "%s"', current_database()) AS here
FROM incomplete_orders.schedule_jobs();
RESET cron.database_name;

-- Names of jobs fit, whatever the database is called, and differ.
CREATE DATABASE "regress_job_a_database_with_a_name_as_long_as_names_can_be_ever";
SELECT DISTINCT octet_length(job) <= 63 AS fits, job LIKE '%' || current_database() AS tells FROM incomplete_orders._wanted_jobs();
SELECT current_database() AS here \gset
\c "regress_job_a_database_with_a_name_as_long_as_names_can_be_ever"
SET client_min_messages = warning;
CREATE EXTENSION incomplete_orders;
SELECT DISTINCT octet_length(job) <= 63 AS fits FROM incomplete_orders._wanted_jobs();
\c :here
DROP DATABASE "regress_job_a_database_with_a_name_as_long_as_names_can_be_ever";

SELECT incomplete_orders.revoke_from('regress_job_ticker', 'sender'), incomplete_orders.revoke_from('regress_job_group', 'sender'),
	incomplete_orders.revoke_from('regress_job_app', 'app');
DROP OWNED BY regress_job_nobody;
DROP ROLE regress_job_ticker, regress_job_group, regress_job_app, regress_job_nobody;
