package widget

import (
	"strings"

	"charm.land/lipgloss/v2"

	"carrel/tui/theme"
)

// level is how grave a line of a log says it is.
type level int

const (
	noLevel level = iota
	debugLevel
	warnLevel
	errorLevel
)

// levelReach is how far into a line its level is looked for: what stands later is what the line tells, not what it is.
const levelReach = 96

var levelWords = map[string]level{
	"TRACE": debugLevel, "DEBUG": debugLevel, "DBG": debugLevel,
	"WARN": warnLevel, "WARNING": warnLevel, "WRN": warnLevel, "DEPRECATED": warnLevel,
	"ERROR": errorLevel, "ERR": errorLevel, "FATAL": errorLevel, "CRITICAL": errorLevel, "PANIC": errorLevel, "SEVERE": errorLevel, "EMERG": errorLevel,
	"ALERT": errorLevel, "CRIT": errorLevel,
}

// levelOf finds the level of a line without escape sequences, in the forms programs write it in: "ERROR", "[error]", "Warning:",
// "level=warn", "[W 12:03:11 App]" as Jupyter does, "E0314 …" as klog does, "ValueError: …" as Python does.
func levelOf(text string) level {
	if len(text) > levelReach {
		text = text[:levelReach]
	}
	if rest, ok := strings.CutPrefix(text, "["); ok && len(rest) > 1 && rest[1] == ' ' {
		switch rest[0] {
		case 'W':
			return warnLevel
		case 'E', 'C':
			return errorLevel
		case 'D':
			return debugLevel
		}
	}
	if strings.HasPrefix(text, "Traceback (most recent call last)") || strings.HasPrefix(text, "panic: ") || strings.HasPrefix(text, "Segmentation fault") {
		return errorLevel
	}
	for at := 0; at < len(text); {
		if !isLetter(text[at]) {
			at++
			continue
		}
		end := at
		for end < len(text) && isLetter(text[end]) {
			end++
		}
		word := text[at:end]
		before, after := byte(' '), byte(' ')
		if at > 0 {
			before = text[at-1]
		}
		if end < len(text) {
			after = text[end]
		}
		l := levelWords[strings.ToUpper(word)]
		upper := strings.ToUpper(word) == word
		switch {
		case l == noLevel && at == 0 && after == ':' && (strings.HasSuffix(word, "Error") || strings.HasSuffix(word, "Exception")):
			return errorLevel
		case l == noLevel:
		case strings.ContainsRune("/-_.", rune(before)) || strings.ContainsRune("/-_.", rune(after)): // part of a name
		case upper && (len(word) > 3 || before == '[' || at == 0 || after == ':'),
			after == ':' && (at == 0 || before == ' '),
			before == '[' && after == ']', before == '=', before == '"' && after == '"' && strings.Contains(text[:at], "evel"):
			return l
		}
		at = end
	}
	return noLevel
}

func isLetter(c byte) bool { return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' }

// levelStyle is how a line of a level is drawn.
func levelStyle(t *theme.Theme, l level) lipgloss.Style {
	switch l {
	case errorLevel:
		return t.Bad
	case warnLevel:
		return t.Warn
	case debugLevel:
		return t.Muted
	}
	return t.Text
}
