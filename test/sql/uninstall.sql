-- The orders are not lost by accident.
\set VERBOSITY terse
DROP EXTENSION incomplete_orders;
-- With CASCADE they go, and nothing of us stays behind.
SET client_min_messages = warning;
DROP EXTENSION incomplete_orders CASCADE;
SELECT count(*) AS left_over FROM pg_namespace WHERE nspname = 'incomplete_orders';
