package definition

import (
	"regexp"
	"sync"
)

// pattern is a regular expression that is compiled when it is first used: this package is part of a program that is
// started for every container, mostly without a definition file to read.
type pattern func() *regexp.Regexp

func lazy(text string) pattern {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
