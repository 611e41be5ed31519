
	IF found_version < 1 THEN
		-- AFTER, not BEFORE: a BEFORE UPDATE trigger on the table locks every row
		-- in advance, also in updates that leave status alone.
		CREATE TRIGGER guard_move AFTER UPDATE OF shop_id, id, status ON incomplete_orders.open_orders
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._guard_move();
		CREATE TRIGGER guard_move AFTER UPDATE OF shop_id, id, status ON incomplete_orders.closed_orders
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._guard_move();

		CREATE CONSTRAINT TRIGGER check_order AFTER INSERT OR DELETE OR UPDATE OF status, kind ON incomplete_orders.open_orders
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION incomplete_orders._check_order('id');
		CREATE CONSTRAINT TRIGGER check_order AFTER INSERT OR DELETE OR UPDATE OF status, kind, items ON incomplete_orders.closed_orders
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION incomplete_orders._check_order('id');
		CREATE CONSTRAINT TRIGGER check_order AFTER INSERT OR DELETE
			OR UPDATE OF shop_id, order_id, incomplete_order_id, part, foreign_order, currency, shipping, tax, discount, coupon_discount, total
			ON incomplete_orders.orders
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION incomplete_orders._check_order('incomplete_order_id', 'order_id');
		CREATE CONSTRAINT TRIGGER check_order AFTER INSERT OR DELETE OR UPDATE ON incomplete_orders.order_items
			DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION incomplete_orders._check_order('', 'order_id');

		CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON incomplete_orders.open_orders EXECUTE FUNCTION incomplete_orders._refuse_truncate();
		CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON incomplete_orders.closed_orders EXECUTE FUNCTION incomplete_orders._refuse_truncate();
		CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON incomplete_orders.closed_orders_default EXECUTE FUNCTION incomplete_orders._refuse_truncate();
		CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON incomplete_orders.orders EXECUTE FUNCTION incomplete_orders._refuse_truncate();
		CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON incomplete_orders.order_items EXECUTE FUNCTION incomplete_orders._refuse_truncate();
		CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON incomplete_orders.shops EXECUTE FUNCTION incomplete_orders._refuse_truncate();

		CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON incomplete_orders.consents EXECUTE FUNCTION incomplete_orders._refuse_truncate();
		CREATE TRIGGER guard_consents BEFORE UPDATE OR DELETE ON incomplete_orders.consents
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._guard_consents();

		CREATE TRIGGER check_shop BEFORE INSERT OR UPDATE ON incomplete_orders.shops
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._check_shop();
		CREATE TRIGGER refuse_in_use BEFORE DELETE ON incomplete_orders.shops
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._refuse_shop_in_use();
		CREATE TRIGGER rearm_orders AFTER UPDATE OF cut_off, attribution_window ON incomplete_orders.shops
			FOR EACH ROW WHEN (NEW.cut_off < OLD.cut_off OR NEW.attribution_window < OLD.attribution_window)
			EXECUTE FUNCTION incomplete_orders._rearm_orders();
		CREATE TRIGGER move_days AFTER UPDATE OF time_zone ON incomplete_orders.shops
			FOR EACH ROW WHEN (NEW.time_zone <> OLD.time_zone)
			EXECUTE FUNCTION incomplete_orders._move_days();
		CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE ON incomplete_orders.shops
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._invalidate_cache();
		CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE ON incomplete_orders.shop_members
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._invalidate_cache();
		-- each shop has its campaigns from the beginning
		CREATE TRIGGER seed_campaigns AFTER INSERT ON incomplete_orders.shops
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._seed_campaigns();
		CREATE TRIGGER invalidate_cache AFTER INSERT OR UPDATE OR DELETE ON incomplete_orders.secret_keys
			FOR EACH ROW EXECUTE FUNCTION incomplete_orders._invalidate_cache();
	END IF;
	ALTER TABLE incomplete_orders.secret_keys ENABLE ALWAYS TRIGGER invalidate_cache;
	-- a data-only restore with --disable-triggers brings them back as ORIGIN
	ALTER TABLE incomplete_orders.shops ENABLE ALWAYS TRIGGER invalidate_cache;
	ALTER TABLE incomplete_orders.shop_members ENABLE ALWAYS TRIGGER invalidate_cache;
