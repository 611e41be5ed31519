/*
 * figures.h
 *		Numbers, money, shares, bars and sparklines as people read them.
 */
#ifndef ICO_FIGURES_H
#define ICO_FIGURES_H

#include <libpq-fe.h>
#include <stdbool.h>

typedef enum FigureKind
{
	FIGURE_WORD,
	FIGURE_COUNT,
	FIGURE_MONEY,				/* in the currency of its row */
	FIGURE_SHARE,				/* from 0 to 1, shown as percent */
	FIGURE_POINTS,				/* a difference of shares */
	FIGURE_SPAN,				/* an interval as the style postgres writes it */
	FIGURE_BAR,					/* a number, against the largest of its currency */
} FigureKind;

typedef struct Figure
{
	const char *column;
	const char *label;
	FigureKind	kind;
	int			good;			/* in the overview: 1 when more is better, -1 when less is */
	int			rank;			/* in a table that is too wide the highest goes first; 0 stays */
	bool		numbers;		/* a count that only says which row it is */
	const char *reason;			/* the column that says why there is no value */
} Figure;

/* How the terminal may be written to. */
typedef struct Look
{
	bool		utf8;
	bool		colours;
	int			width;			/* columns of the terminal; 0: it is none */
} Look;

extern Look look_of_terminal(void);
extern bool figures_print(const Look *look, const char *title, const PGresult *result, const Figure *figures, int n,
						  const char *unless, int most);
extern bool hours_print(const Look *look, const char *title, const PGresult *result, const char *column);
extern void overview_print(const Look *look, const PGresult *now, const PGresult *before, const PGresult *days,
						   const Figure *figures, int n);

#endif							/* ICO_FIGURES_H */
