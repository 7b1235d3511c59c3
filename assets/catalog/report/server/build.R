# Rscript build.R DOCUMENT PAGE FOLDER ROOT: builds a document into one HTML file. What comes into being on the way goes to FOLDER,
# and code runs in ROOT, so that nothing is written beside the document.
args <- commandArgs(TRUE)
document <- args[1]
options(warn = 1)

# A document for a word processor or LaTeX is shown as a page, too; formats that are pages keep their settings.
form <- tryCatch(rmarkdown::default_output_format(document)$name, error = function(e) "html_document")
if (!grepl("html|slidy|ioslides|tufte|flex", form)) form <- "html_document"

# The folder may be read-only: what knitr keeps between builds lies elsewhere.
knitr::opts_chunk$set(cache.path = file.path(args[3], "cache/"))
options(knitr.package.root.dir = args[4])

rmarkdown::render(
  document, output_format = form, output_options = list(self_contained = TRUE),
  output_file = basename(args[2]), output_dir = dirname(args[2]), intermediates_dir = args[3], knit_root_dir = args[4],
  envir = new.env(parent = globalenv()), quiet = TRUE
)
