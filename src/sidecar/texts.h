/*
 * texts.h
 *		What the shopper pages say, in each language: one table.
 *
 * A %s is replaced by a name, made harmless for HTML where it is put.
 */
#ifndef ICO_TEXTS_H
#define ICO_TEXTS_H

#include <stddef.h>

/* X(key, English, German) */
#define ICO_TEXTS(X) \
	X(CART_TITLE, "Your cart is still here", "Ihr Warenkorb ist noch da") \
	X(CART_INTRO, "These items are waiting for you. Nothing has been ordered.", \
	  "Diese Artikel warten auf Sie. Es ist noch nichts bestellt.") \
	X(CART_BUTTON, "Restore my cart", "Warenkorb wiederherstellen") \
	X(CART_EMPTY, "There is nothing left in this cart.", "In diesem Warenkorb ist nichts mehr.") \
	X(CART_LIST, "Items in your cart", "Artikel in Ihrem Warenkorb") \
	X(CART_MORE_ONE, "and one more item", "und ein weiterer Artikel") \
	X(CART_MORE, "and %s more items", "und %s weitere Artikel") \
	X(QUANTITY, "Quantity: %s", "Menge: %s") \
	X(TOTAL, "Total", "Summe") \
	X(REFERENCE, "Reference %s", "Vorgangsnummer %s") \
	X(RESTORED_TITLE, "Your cart is back", "Ihr Warenkorb ist wieder da") \
	X(RESTORED_INTRO, "It is stored as you see it here. You can finish your order in the shop.", \
	  "Er ist so gespeichert, wie Sie ihn hier sehen. Sie können Ihre Bestellung im Shop abschließen.") \
	X(REMOVED, "No longer available:", "Nicht mehr erhältlich:") \
	X(CHANGED, "Changed since your last visit:", "Seit Ihrem letzten Besuch geändert:") \
	X(CONVERTED_TITLE, "You have already ordered", "Sie haben schon bestellt") \
	X(CONVERTED_TEXT, "This cart became an order. There is nothing left to do here.", \
	  "Aus diesem Warenkorb wurde eine Bestellung. Hier ist nichts mehr zu tun.") \
	X(PENDING_TITLE, "Your payment is on its way", "Ihre Zahlung ist unterwegs") \
	X(PENDING_TEXT, "We are waiting for the answer of your bank or payment service. There is nothing to do here for now.", \
	  "Wir warten auf die Antwort Ihrer Bank oder Ihres Zahlungsdienstes. Hier ist im Moment nichts zu tun.") \
	X(CLOSED_TITLE, "This cart is no longer available", "Diesen Warenkorb gibt es nicht mehr") \
	X(CLOSED_TEXT, "It has expired or was closed. Please visit the shop and add the items again.", \
	  "Er ist abgelaufen oder wurde geschlossen. Bitte legen Sie die Artikel im Shop noch einmal in den Warenkorb.") \
	X(UNSUBSCRIBE_TITLE, "Stop the reminders?", "Keine Erinnerungen mehr?") \
	X(UNSUBSCRIBE_TEXT, "If you press the button, we will not remind you of unfinished orders any more.", \
	  "Wenn Sie auf den Knopf drücken, erinnern wir Sie nicht mehr an nicht abgeschlossene Bestellungen.") \
	X(UNSUBSCRIBE_BUTTON, "Stop reminders", "Keine Erinnerungen mehr") \
	X(UNSUBSCRIBED_TITLE, "Done: no more reminders", "Erledigt: keine Erinnerungen mehr") \
	X(UNSUBSCRIBED_TEXT, "We will not remind you of unfinished orders any more. You can close this page.", \
	  "Wir erinnern Sie nicht mehr an nicht abgeschlossene Bestellungen. Sie können diese Seite schließen.") \
	X(NOT_ME_TITLE, "Was this message not meant for you?", "War diese Nachricht nicht für Sie?") \
	X(NOT_ME_TEXT, "Somebody may have mistyped an address. If you press the button, we will not write to yours any more.", \
	  "Vielleicht hat sich jemand bei seiner Adresse vertippt. Wenn Sie auf den Knopf drücken, schreiben wir nicht mehr an Ihre.") \
	X(NOT_ME_BUTTON, "Do not write to me", "Nicht mehr an mich schreiben") \
	X(NOT_ME_DONE_TITLE, "Done: we will not write to you", "Erledigt: wir schreiben Ihnen nicht mehr") \
	X(NOT_ME_DONE_TEXT, "We will send nothing more to this address. Sorry for the trouble. You can close this page.", \
	  "Wir senden nichts mehr an diese Adresse. Bitte entschuldigen Sie die Störung. Sie können diese Seite schließen.") \
	X(LINK_BAD_TITLE, "This link does not work", "Dieser Link funktioniert nicht") \
	X(LINK_BAD_TEXT, "Perhaps it was cut off. Please use the whole link from the message, or open the message again and press its button.", \
	  "Vielleicht wurde er abgeschnitten. Bitte verwenden Sie den ganzen Link aus der Nachricht, oder öffnen Sie die Nachricht noch einmal und drücken Sie dort auf den Knopf.") \
	X(LINK_EXPIRED_TITLE, "This link has expired", "Dieser Link ist abgelaufen") \
	X(LINK_EXPIRED_TEXT, "Links in our messages work for a limited time. Please visit the shop directly, or use the link in a newer message.", \
	  "Links in unseren Nachrichten gelten nur eine Zeit lang. Bitte besuchen Sie den Shop direkt, oder verwenden Sie den Link einer neueren Nachricht.") \
	X(NOT_FOUND_TITLE, "There is no such page", "Diese Seite gibt es nicht") \
	X(NOT_FOUND_TEXT, "Please use the link from the message that you received.", \
	  "Bitte verwenden Sie den Link aus der Nachricht, die Sie erhalten haben.") \
	X(METHOD_TITLE, "This does not work here", "Das geht hier nicht") \
	X(METHOD_TEXT, "This page cannot be used in this way. Please open the link from the message.", \
	  "Diese Seite lässt sich so nicht verwenden. Bitte öffnen Sie den Link aus der Nachricht.") \
	X(TOO_LARGE_TITLE, "That was too much", "Das war zu viel") \
	X(TOO_LARGE_TEXT, "The request was too large. Please open the link from the message again.", \
	  "Die Anfrage war zu groß. Bitte öffnen Sie den Link aus der Nachricht noch einmal.") \
	X(AWAY_TITLE, "Please try again in a moment", "Bitte versuchen Sie es gleich noch einmal") \
	X(AWAY_TEXT, "We cannot answer right now. Nothing is lost: please open this page again in a minute.", \
	  "Wir können gerade nicht antworten. Es ist nichts verloren: Bitte öffnen Sie diese Seite in einer Minute noch einmal.") \
	X(ERROR_TITLE, "Something went wrong", "Etwas ist schiefgegangen") \
	X(ERROR_TEXT, "It is not your fault. Please try again later, or visit the shop directly.", \
	  "Es liegt nicht an Ihnen. Bitte versuchen Sie es später noch einmal, oder besuchen Sie den Shop direkt.")

typedef enum Text
{
#define ICO_TEXT_KEY(key, english, german) T_##key,
	ICO_TEXTS(ICO_TEXT_KEY)
#undef ICO_TEXT_KEY
} Text;

typedef enum Language
{
	LANGUAGE_EN,
	LANGUAGE_DE,
	LANGUAGES
} Language;

extern const char *text_of(Language language, Text text);
extern const char *language_tag(Language language);
extern Language language_of(const char *locale, const char *accept_language);
/* Numbers are written here and nowhere else. */
extern void amount_text(char *buffer, size_t size, Language language, const char *amount, const char *currency);
extern void count_text(char *buffer, size_t size, Language language, const char *count);
extern void money_text(char *buffer, size_t size, Language language, const char *amount, const char *currency);

#endif							/* ICO_TEXTS_H */
