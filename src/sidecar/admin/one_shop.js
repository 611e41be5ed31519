// Pages that are of one shop: where several can be chosen and none is, the first one is.
import { useEffect } from './vendor/preact.js';
import { session } from './api.js';
import { useRoute, setQuery } from './route.js';

// The key of the shop, or null until the address says which.
export function useShop() {
	const { query } = useRoute();
	const shops = session().shops || [];
	const shop = query.shop || (shops.length === 1 ? shops[0].shop : null);
	const first = (shops.find((one) => one.shop === 'default') || shops[0] || {}).shop;
	useEffect(() => { if (!shop && first) setQuery({ shop: first }, { replace: true }); }, [shop]);
	return shop;
}

// A text as SQL writes it.
export const quoted = (text) => `'${String(text).replace(/'/g, "''")}'`;
