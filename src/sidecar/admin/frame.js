/*
 * Shows a mail in a frame of its own: the page that framed us sends {html, images} and hears
 * {frame: 'ready'}, then {frame: 'height', height}. The frame has no origin, its policy
 * lets this one script run and nothing be asked of anybody but the shop's image hosts.
 */
(() => {
	const tell = (message) => parent.postMessage(message, location.origin);
	const measure = () => tell({ frame: 'height', height: Math.ceil(document.documentElement.getBoundingClientRect().height) });

	// As a mail program that shows no pictures: what stands for them, where they would be.
	const withoutPictures = (mail) => {
		for (const image of mail.images) {
			image.removeAttribute('src');
			image.removeAttribute('srcset');
		}
	};

	addEventListener('message', (event) => {
		if (event.source !== parent || event.origin !== location.origin || typeof event.data?.html !== 'string')
			return;
		const mail = new DOMParser().parseFromString(event.data.html, 'text/html');
		for (const element of mail.querySelectorAll('script, base, meta[http-equiv], link, iframe, frame, object, embed, form, img[width="1"][height="1"]'))
			element.remove();
		if (event.data.images === false)
			withoutPictures(mail);
		for (const name of mail.documentElement.getAttributeNames())
			document.documentElement.setAttribute(name, mail.documentElement.getAttribute(name));
		document.head.replaceChildren(...mail.head.childNodes);
		document.body.replaceWith(document.adoptNode(mail.body));
		for (const image of document.images)
			image.addEventListener('load', measure);
		measure();
	});
	// Links lead customers to their carts; here they only show that they are links.
	addEventListener('click', (event) => event.preventDefault(), true);
	addEventListener('resize', measure);
	tell({ frame: 'ready' });
})();
