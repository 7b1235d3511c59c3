// Package definition reads Singularity and Apptainer definition files, from the releases of 2016 to today's: header,
// sections, stages, %arguments with {{ }} templates, SCIF apps. It also writes them back, names what is doubtful in them
// (Lint), cuts them into coloured tokens (Tokens), and produces the script texts a build puts into an image.
//
// It does no input or output beyond the reader it is given and executes nothing. It does not know where a base comes
// from or how a section is run: that is the business of the packages that build.
//
// The grammar is the one of Apptainer's definition files
// (https://apptainer.org/docs/user/latest/definition_files.html) as its own parser takes it (apptainer/apptainer,
// pkg/build/types/parser), and of Singularity 2.2. Whatever Apptainer accepts is accepted with the same meaning. Beyond
// that, files whose meaning is plain are accepted too, and each such leniency is a Finding:
//
//	a byte order mark                          bom
//	a tab after a section's name               section-tab
//	%environments, %env, %labels: and the like section-name
//	an app section in capitals                 section-case
//	a section of 64 KiB and more               section-long
//	a comment or blank line, or the file's end, after a header's "\"    header-continuation
//	"From:" above "Bootstrap:"                 header-order
//	"Token:" of 2016                           header-legacy
//	a tab between a label's name and value     label-tab
//	single quotes and comments in %files       files-quotes, files-comment
//
// Lines and columns count from 1; columns and lengths are bytes. They always point into the file as written, also when
// templates were filled in.
package definition
