package cattest

import (
	"context"
	_ "embed"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"carrel/internal/browser"
)

var (
	//go:embed participant.js
	participant string
	//go:embed language.js
	shown string
)

// resultsKey is the key to the page of results.
const resultsKey = "experimenter"

// A session is how a participant takes part.
type session struct {
	who, language string
	// n is that of the n-back task.
	n int
	// only are the experiments to do; nil: all there are.
	only []string
	// interrupted is the experiment in which the window is closed once; empty: none.
	interrupted string
}

// brief is a session that takes half a minute: a task that is answered by keys, during which the window is closed once, and a
// questionnaire.
var brief = Check{Bind: "/data", Args: []string{"--trials", "9", "--set", "practice=4", "--results-key", resultsKey},
	Use: session{who: "T03", language: "en", interrupted: "flanker", only: []string{"flanker", "likert"}}.use}

// What the participant noted of an answer. rt is missing where there was none, or where it cannot be known outside.
type note struct {
	Experiment, Phase   string
	Trial               int
	Condition, Response string
	Correct             any
	RT                  *float64
}

// use takes part in all experiments there are, in one session, and compares the tables with what the participant did and
// the words on the pages with those there are in the session's language.
func (s session) use(ctx context.Context, b *browser.Browser, app App) error {
	if err := b.OnEveryPage(ctx, shown); err != nil {
		return err
	}
	if err := b.OnEveryPage(ctx, participant); err != nil {
		return err
	}
	if err := b.Open(ctx, app.URL); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, `document.querySelectorAll("[data-experiment]").length >= 12`); err != nil {
		return err
	}
	var names []string
	if err := b.Run(ctx, `
		const names = arguments[1] ?? [...document.querySelectorAll("[data-experiment]")].map((n) => n.dataset.experiment);
		names.forEach((n) => document.querySelector('[data-experiment="' + n + '"]').click());
		document.querySelector("[name=participant]").value = arguments[0];
		return names`, &names, s.who, s.only); err != nil {
		return err
	}
	if err := picture(ctx, b, app, "start"); err != nil {
		return err
	}
	if err := b.Click(ctx, "#begin"); err != nil {
		return err
	}
	for i, name := range names {
		if err := waitFor(ctx, b, time.Minute, fmt.Sprintf(`window.battery?.experiment === %q`, name)); err != nil {
			return err
		}
		// The window is closed in the midst of one, and the session goes on.
		if name == s.interrupted {
			if err := waitFor(ctx, b, 2*time.Minute, `window.battery?.phase === "main" && window.battery.number === 7`); err != nil {
				return err
			}
			if err := b.Open(ctx, app.URL); err != nil {
				return err
			}
			// Once as from another browser, for which it takes the experimenter's key.
			elsewhere := name == "n-back"
			if elsewhere {
				if err := b.ForgetCookies(ctx); err != nil {
					return err
				}
			}
			if err := again(ctx, b, s.who, elsewhere); err != nil {
				return err
			}
			if err := waitFor(ctx, b, time.Minute, fmt.Sprintf(`window.battery?.phase && document.title && location.pathname.startsWith("/run/") && document.documentElement.lang === %q`, s.language)); err != nil {
				return err
			}
		}
		var language string
		if err := b.Run(ctx, `return document.documentElement.lang`, &language); err != nil {
			return err
		}
		if language != s.language {
			return fmt.Errorf("%s: the page is in %q", name, language)
		}
		// Wait until its first main trial for the picture, then to the end.
		if err := waitFor(ctx, b, 3*time.Minute, fmt.Sprintf(`window.battery?.phase === "main" && window.battery.experiment === %q`, name)); err != nil {
			return err
		}
		if err := b.Run(ctx, `window.__slow = 1000`, nil); err != nil {
			return err
		}
		if err := waitFor(ctx, b, 20*time.Second, `!document.querySelector(".fixation") && document.querySelector("#stage").innerText.trim() + document.querySelectorAll("#stage svg, .lit").length !== "0"`); err != nil {
			return err
		}
		if err := picture(ctx, b, app, name); err != nil {
			return err
		}
		if err := b.Run(ctx, `delete window.__slow`, nil); err != nil {
			return err
		}
		last := fmt.Sprintf(`window.battery?.phase === "over" || window.battery?.experiment && window.battery.experiment !== %q`, name)
		if i == 0 || name == "stroop" {
			if err := b.Run(ctx, `window.__read = true`, nil); err != nil {
				return err
			}
			if err := waitFor(ctx, b, 3*time.Minute, `window.battery?.phase === "debrief" && document.querySelector(".own")`); err != nil {
				return err
			}
			if err := picture(ctx, b, app, name+"-debrief"); err != nil {
				return err
			}
			if err := b.Run(ctx, `window.__read = false`, nil); err != nil {
				return err
			}
		}
		if err := waitFor(ctx, b, 5*time.Minute, last); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := waitFor(ctx, b, time.Minute, `window.battery?.phase === "over"`); err != nil {
		return err
	}
	var text string
	if err := b.Run(ctx, `return localStorage.getItem("notes")`, &text); err != nil {
		return err
	}
	var notes []note
	if err := json.Unmarshal([]byte(text), &notes); err != nil {
		return err
	}
	for _, name := range names {
		if err := compare(app.Folder, s.who, name, notes); err != nil {
			return fmt.Errorf("data of %s: %w", name, err)
		}
	}
	var torn string
	if err := b.Run(ctx, `return localStorage.getItem("torn") ?? ""`, &torn); err != nil {
		return err
	}
	if torn != "" {
		return fmt.Errorf("a page of the questionnaire was sent in parts: %.300s", torn)
	}
	if err := s.words(ctx, b, names); err != nil {
		return err
	}
	if s.interrupted == "n-back" {
		if err := s.freshStart(app.Folder); err != nil {
			return err
		}
		if err := waitFor(ctx, b, time.Second, `localStorage.getItem("shown").includes("vor drei Schritten") && !localStorage.getItem("shown").includes("vor zwei Schritten")`); err != nil {
			return fmt.Errorf("the instructions of the n-back task with n = 3: %w", err)
		}
	}
	// The page of results, which is not for participants.
	if err := b.Run(ctx, `location.href = "/results"`, nil); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 30*time.Second, `document.querySelector("input[name=key]")`); err != nil {
		return err
	}
	var status int
	if err := b.Run(ctx, `return fetch("/data.zip").then((a) => a.status)`, &status); err != nil {
		return err
	}
	if status != http.StatusForbidden {
		return fmt.Errorf("everybody's data, without the key: status %d", status)
	}
	if err := b.Run(ctx, `document.querySelector("input[name=key]").value = arguments[0]; document.querySelector("form").submit()`, nil, resultsKey); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 30*time.Second, fmt.Sprintf(`document.body.dataset.ready === "yes" && document.querySelectorAll("article svg").length >= %d`, len(names))); err != nil {
		return err
	}
	return picture(ctx, b, app, "results")
}

// freshStart wants the first n trials, and the n after the interruption at the seventh, to be neither target nor other: there
// is nothing to compare them with.
func (s session) freshStart(folder string) error {
	f, err := os.Open(filepath.Join(folder, s.who, "n-back.csv"))
	if err != nil {
		return err
	}
	defer f.Close()
	table, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	phase, condition, n := slices.Index(table[0], "phase"), slices.Index(table[0], "condition"), slices.Index(table[0], "n")
	trial := 0
	for _, row := range table[1:] {
		if row[phase] != "main" {
			continue
		}
		trial++
		first := trial <= s.n || trial >= 7 && trial < 7+s.n
		if (row[condition] == "first") != first || row[n] != strconv.Itoa(s.n) {
			return fmt.Errorf("n-back: trial %d, with an interruption at 7, is %q of n = %s", trial, row[condition], row[n])
		}
	}
	return nil
}

// words wants that all experiments have all their words in each language, and that those of the session's were shown.
func (s session) words(ctx context.Context, b *browser.Browser, names []string) error {
	var problems []string
	if err := b.Run(ctx, `return window.__untranslated(arguments[0], arguments[1])`, &problems, names, s.language); err != nil {
		return err
	}
	if len(problems) > 0 {
		return fmt.Errorf("words in %s: %s", s.language, strings.Join(problems, "; "))
	}
	return nil
}

// again comes back to a session that was interrupted, in the browser it was begun in or elsewhere.
func again(ctx context.Context, b *browser.Browser, who string, elsewhere bool) error {
	if err := waitFor(ctx, b, 20*time.Second, `document.querySelectorAll("[data-experiment]").length >= 12`); err != nil {
		return err
	}
	if err := b.Run(ctx, `document.querySelector("[name=participant]").value = arguments[0]; document.querySelector("[data-experiment]").click()`, nil, who); err != nil {
		return err
	}
	if err := b.Click(ctx, "#begin"); err != nil {
		return err
	}
	if err := waitFor(ctx, b, 20*time.Second, `document.querySelector("#resume").open`); err != nil {
		return err
	}
	var asks bool
	if err := b.Run(ctx, `return document.querySelector("#key").checkVisibility()`, &asks); err != nil {
		return err
	}
	if asks != elsewhere {
		return fmt.Errorf("resume in another browser %v: the page asks for the key: %v", elsewhere, asks)
	}
	if elsewhere {
		if err := b.Run(ctx, `document.querySelector("#key").value = arguments[0]`, nil, resultsKey); err != nil {
			return err
		}
	}
	return b.Click(ctx, `#resume [value="go-on"]`)
}

// compare holds the main trials of a table against the participant's notes.
func compare(folder, who, name string, notes []note) error {
	f, err := os.Open(filepath.Join(folder, who, name+".csv"))
	if err != nil {
		return err
	}
	defer f.Close()
	table, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	if len(table) < 2 {
		return errors.New("there are no rows")
	}
	var rows []map[string]string
	for _, line := range table[1:] {
		row := map[string]string{}
		for i, column := range table[0] {
			row[column] = line[i]
		}
		if row["participant"] != who || row["experiment"] != name {
			return fmt.Errorf("a row of %s in %s", row["participant"], row["experiment"])
		}
		if row["phase"] == "main" {
			rows = append(rows, row)
		}
	}
	// A trial that an interruption hit is done twice: the last time counts.
	var mine []note
	at := map[int]int{}
	for _, n := range notes {
		if n.Experiment != name || n.Phase != "main" {
			continue
		}
		if i, known := at[n.Trial]; known {
			mine[i] = n
			continue
		}
		at[n.Trial] = len(mine)
		mine = append(mine, n)
	}
	if len(rows) != len(mine) {
		return fmt.Errorf("%d rows for %d answers", len(rows), len(mine))
	}
	for i, n := range mine {
		row := rows[i]
		correct := ""
		if c, ok := n.Correct.(float64); ok {
			correct = strconv.Itoa(int(c))
		}
		if row["trial"] != strconv.Itoa(n.Trial) || row["response"] != n.Response || row["condition"] != n.Condition || row["correct"] != correct {
			return fmt.Errorf("row %d is %v, the participant noted %+v", i+1, row, n)
		}
		if n.RT == nil {
			continue
		}
		rt, err := strconv.ParseFloat(row["rt_ms"], 64)
		// Rounding to a tenth, twice.
		if err != nil || math.Abs(rt-*n.RT) > 0.2 {
			return fmt.Errorf("row %d: %s ms, the participant took %.2f", i+1, row["rt_ms"], *n.RT)
		}
	}
	for _, f := range []string{filepath.Join(who, name+".json"), filepath.Join("codebook", name+".csv")} {
		if info, err := os.Stat(filepath.Join(folder, f)); err != nil || info.Size() == 0 {
			return fmt.Errorf("%s is missing", f)
		}
	}
	return nil
}
