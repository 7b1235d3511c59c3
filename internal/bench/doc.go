// Command bench measures Carrel beside every peer that is installed on this computer: `make bench` runs it after the
// benchmarks of the packages. It prints one table and writes docs/benchmarks.md.
//
// What is compared is measured in the same run, as whole processes, in turns (A B C A B C …), so that whatever else the
// computer does falls on all alike; the table shows medians and the least of each. What is slower than a peer is said at the
// top. Nothing passes or fails here.
//
//	BENCH=quick            fewer runs, under four minutes once the tree is there
//	BENCH=start,pack       these rows only: start answer read port screen desk apps memory pack unpack registry bootstrap
//	CARREL_APPTAINER       the Apptainer to compare with
//	CARREL_APPTAINER_ROOT  or a root folder that has one (/usr/bin/apptainer), in which it then runs; root is needed
//	CARREL_BENCH_JUPYTER   an image or a root folder with jupyter-notebook, instead of the one built from the catalog
//	CARREL_BENCH_DIR       where the trees are kept between runs; some gigabytes
//
// The document is written by a whole run only, or where -o names a file.
//
// An Apptainer in a root folder of its own is started by an agent, this program again, which has entered that folder once
// and for all: the figures are Apptainer's own, without a chroot before each.
package main
