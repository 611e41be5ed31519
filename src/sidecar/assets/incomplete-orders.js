// What a shop's page tells incomplete_orders; README, "On the shop's page".
// Served without its indentation and without whole lines of comments.
(() => {
	const { dataset: set, src } = document.currentScript
	const root = (set.endpoint || src.split('/assets/')[0]) + '/api/v1/incomplete-orders/'
	const box = set.consent === 'granted' ? '' : set.consent
	// what autocomplete calls the fields that are kept; cards and passwords are none of them
	const kept = /^(email|tel|(given-|family-)?name|organization|address-l.+[12]|postal-code|country)/
	const now = () => new Date().toISOString()
	let since = Date.now(), scroll = 0, staying = 0, sent = '{}', agreed, timer, gone

	const io = window.incompleteOrders = {
		// what the visitor agreed to, or nothing; a page may put a function of its own here
		consent: () => (box ? (document.querySelector(box) || {}).checked : set.consent) &&
			{ status: 'granted', at: agreed || set.consentAt, text_version: set.consentVersion },
		// a cookie of the shop's own site, which its server may read
		session: () => {
			let id = set.session || (/\bio_session=([\w-]+)/.exec(document.cookie) || [])[1]
			if (!id) {
				id = [...crypto.getRandomValues(new Uint32Array(5))].map(n => n.toString(36)).join('-')
				document.cookie = `io_session=${id};path=/;max-age=2592000;samesite=lax;${isSecureContext && 'secure'}`
			}
			return id
		},
		cart: cart => cart ? ask('PUT', 'cart/', cart) : ask('GET', 'cart/'),
		preview: () => ask('GET', link()),
		restore: () => ask('POST', link(), {}),
		left: (stage, reason) => tell('track-abandonment/', { stage, reason })
	}

	const url = path => root + path + '?key=' + set.key
	const link = () => 'restore/' + new URLSearchParams(location.search).get(set.restore || 'restore') + '/'
	const ask = async (method, path, body) => {
		const answer = await fetch(url(path), { method, body: JSON.stringify(body), credentials: 'omit', headers: { 'X-Session-Id': io.session() } })
		if (!answer.ok) throw answer
		return answer.json()
	}
	const tell = (path, body) => navigator.sendBeacon(url(path), JSON.stringify({ session_id: io.session(), ...body }))

	const save = () => {
		const consent = io.consent(), form = {}
		timer = 0
		if (consent) for (const { autocomplete, dataset, value } of document.querySelectorAll('input,select,textarea')) {
			const name = autocomplete.split(' ').pop()
			if (dataset.io || kept.test(name) && !/billing/.test(autocomplete)) form[dataset.io || name] = value
		}
		const text = JSON.stringify(form)
		if (text !== sent) tell('save-checkout-data/', { ...form, consent: consent || { status: 'withdrawn', at: now() } })
		sent = text
	}
	const hide = () => {
		if (timer) save()
		if (gone || !io.consent()) return
		gone = 1
		// who goes on within the shop has not left it
		if (Date.now() - staying > 2000) io.left(set.stage)
		tell('track-engagement/', { seconds: Math.min(86400, (Date.now() - since) / 1000), scroll })
	}
	const stay = ({ type, target }) => {
		if (type === 'submit' || (target.closest('a') || {}).host === location.host) staying = Date.now()
	}
	const on = {
		submit: stay,
		click: stay,
		pagehide: hide,
		input: ({ target }) => {
			if (box && target.matches(box)) agreed = now()
			clearTimeout(timer)
			timer = setTimeout(save, 800)
		},
		scroll: () => {
			scroll = Math.max(scroll, Math.min(100, 100 * (scrollY + innerHeight) / document.body.scrollHeight))
		}
	}

	for (const type in on) addEventListener(type, on[type])
	document.addEventListener('visibilitychange', () => document.hidden && hide())
})()
