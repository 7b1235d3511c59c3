package cattest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	rt := 250.04
	notes := []note{
		{Experiment: "simon", Phase: "practice", Trial: 1, Response: "circle"},
		{Experiment: "simon", Phase: "main", Trial: 1, Condition: "congruent", Response: "circle", Correct: 1.0, RT: &rt},
		{Experiment: "simon", Phase: "main", Trial: 2, Condition: "congruent", Response: "square", Correct: 1.0},
		// after an interruption
		{Experiment: "simon", Phase: "main", Trial: 2, Condition: "congruent", Response: "", Correct: 0.0},
		{Experiment: "stroop", Phase: "main", Trial: 1},
	}
	const head = "participant,experiment,phase,trial,condition,response,correct,rt_ms\n"
	const practice = "T01,simon,practice,1,congruent,circle,1,300\n"
	const first, second = "T01,simon,main,1,congruent,circle,1,250\n", "T01,simon,main,2,congruent,,0,\n"
	for name, c := range map[string]struct{ table, wrong string }{
		"right":           {head + practice + first + second, ""},
		"a row is gone":   {head + practice + first, "1 rows for 2 answers"},
		"a row twice":     {head + first + first + second, "3 rows for 2 answers"},
		"nothing":         {head, "no rows"},
		"another answer":  {head + strings.Replace(first, "circle", "square", 1) + second, "row 1"},
		"another time":    {head + strings.Replace(first, "250", "260", 1) + second, "260 ms"},
		"no time":         {head + strings.Replace(first, "250", "", 1) + second, "row 1"},
		"scored wrongly":  {head + first + strings.Replace(second, ",0,", ",1,", 1), "row 2"},
		"somebody else's": {head + strings.Replace(first, "T01", "T02", 1) + second, "T02"},
	} {
		folder := t.TempDir()
		for file, text := range map[string]string{"T01/simon.csv": c.table, "T01/simon.json": "{}", "codebook/simon.csv": "column\n"} {
			full := filepath.Join(folder, file)
			if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := compare(folder, "T01", "simon", notes)
		if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
			t.Errorf("%s: got %v, want %q", name, err, c.wrong)
		}
	}
}
