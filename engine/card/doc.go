// Package card reads how an image explains itself: the labels that tell its title, the ports it serves, the folders it
// wants, its arguments, and how to know that it is ready. A form can be filled in from nothing else.
//
// One label per fact. A name that is not known is skipped; a bad value is a Warning with the label's name and never an
// error. The names of org.opencontainers.image are those of the OCI image specification, annotations.md; the others are
//
//	carrel.category     notebook | experiment | page | analysis | tool
//	carrel.keywords     words, comma separated
//	carrel.port.N       PROTO [PATH] [TEXT…]          http /tree Notebook        (PROTO: http https tcp)
//	carrel.bind.DEST    MODE [required] [TEXT…]       rw required Your folder    (MODE: rw ro)
//	carrel.arg.N        NAME [CHOICE|CHOICE…] [TEXT…]
//	carrel.choice.CHOICE TEXT…                        what a choice of an argument is
//	carrel.env.NAME     [=DEFAULT] [TEXT…]            a default with spaces stands in double quotes
//	carrel.ready        PORT PATH [TIMEOUT]           8888 /api 60s
//	carrel.writable     keep | discard | ask
//	carrel.stop         SIGINT                        the signal that asks it to end
//	carrel.workdir      PATH                          the folder inside in which the runscript is started
//	carrel.user         NAME|NUMBER[:GROUP|NUMBER]    as whom the runscript is started
//	carrel.cite         doi:… or a BibTeX key
//	carrel.example      a command line
//
// All texts come from strangers: control characters are taken out and lengths are bounded, so that they can be drawn.
package card
