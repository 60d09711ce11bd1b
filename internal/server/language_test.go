package server_test

import (
	"cmp"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"jitaccess/internal/broker"
	"jitaccess/internal/notice"
	"jitaccess/internal/policy"
	"jitaccess/internal/server"
	"jitaccess/internal/server/storybook"
	"jitaccess/internal/words"
	"jitaccess/internal/words/wordstest"
)

var (
	unfilled = regexp.MustCompile(`\{[a-z]`)
	tag      = regexp.MustCompile(`<[^>]*>`)
	spoken   = regexp.MustCompile(`(?:aria-label|alt|title|placeholder)="([^"]*)"`)
)

// titles of templates have places that requests fill in.
var titles = strings.NewReplacer("Deploy {version} to {cluster}", " ", "Delete the database {database} for good", " ")

// code is of programs, and what people typed.
var code = regexp.MustCompile(`(?s)<(pre|code|textarea)[ >].*?</(pre|code|textarea)>`)

// TestPagesHaveNoWordsOfTheirOwn renders every page in every state in another
// language: what is left of English is data, or a name.
func TestPagesHaveNoWordsOfTheirOwn(t *testing.T) {
	language := wordstest.Bracketed(t)
	for _, s := range storybook.Stories() {
		t.Run(s.Name, func(t *testing.T) {
			c := canned{State: s.State()}
			h, _ := serve(t, c, func(sc *server.Config) {
				sc.Language = language
				c.Configure(sc)
			})
			w := do(h, s.HTTPRequest())
			if w.Code != s.Code {
				t.Fatalf("%d, want %d: %s", w.Code, s.Code, w.Body)
			}
			page := w.Body.String()
			if !strings.Contains(page, `<html lang="de">`) {
				t.Error("the page does not say its language")
			}
			_, page, _ = strings.Cut(page, "<title>")
			page = titles.Replace(code.ReplaceAllString(page, " "))
			for _, said := range spoken.FindAllStringSubmatch(page, -1) {
				checkWords(t, html.UnescapeString(said[1]))
			}
			for _, text := range tag.Split(page, -1) {
				if unfilled.MatchString(text) {
					t.Errorf("%q is not filled in", text)
				}
			}
			checkWords(t, html.UnescapeString(tag.ReplaceAllString(page, " ")))
		})
	}
}

// checkWords finds words that are neither of the language nor data of the stories.
func checkWords(t *testing.T, text string) {
	t.Helper()
	if found := wordstest.Own(text, storyData(t), name); found != nil {
		t.Errorf("%q are not of the language", found)
	}
}

// storyData is what the stories have to say themselves. What the mail account says of
// its settings, steps and failures is for operators, as the doctor's is, and in
// English.
func storyData(t *testing.T) []string {
	t.Helper()
	data := []string{storybook.BindingText, "JIT Access", "CSV", "JSON", "mpa-BQUFBQUFBQUFBQUF", newCanned(t).View.Request.Justification, "Use the read-only role for this."}
	file, _ := policy.ReadFile([]byte(examplePolicy(t, "start-up.yaml")))
	for _, rule := range file.Rules { // what its authors wrote is data
		data = append(data, rule.Name, rule.Refusal)
	}
	data = append(data, "Say in ten characters or more what it is for.", "Production is frozen until 7 January. Ask who is on call.", "freeze",
		"title of roles/owner", ".{10}", "accessPolicies/1/accessLevels/corp", "slack:#oncall", "admins")
	// What an application and its template say.
	asked := broker.View{}
	storybook.Applied(&asked)
	data = append(data, "the ticket says so", "roles/production-deploy", asked.Request.Asking.Title, asked.Roles[0].Title, asked.Effects[0].Text)
	for _, d := range slices.Concat(asked.Request.Asking.Data, asked.Request.Asking.Claims) {
		data = append(data, d.Label, d.Value)
	}
	// The longest names that are usual, and what is meant to harm.
	data = append(data, "Cloud Spanner Database Reader with DataBoost", "Includes all permissions of the Database Reader role, and runs queries with Data Boost.",
		"INC-204711: replication lags by an hour, and the runbook wants a look at the sessions", "cme-orders-prod")
	data = append(data, storybook.Extreme, storybook.Extreme[:100])
	data = append(data, strings.Fields(storybook.Extreme)...) // a word of stacked marks has an element of its own
	for _, c := range words.Choices() {
		data = append(data, c.Name)
	}
	// What applications and passkeys are called, and their people.
	data = append(data, "deployer", "console", "https://deploy.example.com", "deploy.example.com", "hooks.example.com", "production-deploy",
		"delete-database", "Delete a database", "M4AfE5Dk", "fDW4fJVX", "user:", "group:", "Laptop", "Phone", "Desk",
		// What a mail said of another, and what that means, as the mail account's failures.
		"no such user", "There is no mailbox at the recipient's address.")
	for _, role := range roleInfos {
		data = append(data, role.Title, role.Description)
	}
	for _, r := range newCanned(t).State.Resources {
		data = append(data, r.Title)
	}
	for _, a := range append(storybook.EveryAccount().Besides, storybook.NewAccount(), storybook.FailingAccount()) {
		failures := []*notice.Failure{}
		for _, set := range a.Set {
			data = append(data, set.Name, set.Value, set.Variables)
		}
		for _, step := range a.Steps {
			data, failures = append(data, step.Name, step.Text), append(failures, step.Failure)
		}
		for _, recent := range a.Attempts {
			failures = append(failures, recent.Failure)
		}
		for _, f := range failures {
			if f != nil {
				data = append(data, f.Meaning, f.Remedy, f.What)
			}
		}
	}
	// The longest first, as one may be part of another.
	slices.SortFunc(data, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return data
}

// name is an address, a role or a resource.
var name = regexp.MustCompile(`[a-z0-9.]+@[a-z.]+|roles/[A-Za-z0-9.]+|(example\.com:)?(acme|legacy)-[a-z-]+`)

// Scripts get their messages from the templates.
func TestScriptsHaveNoWordsOfTheirOwn(t *testing.T) {
	files, err := filepath.Glob("../../web/assets/*.js")
	if err != nil || files == nil {
		t.Fatal("no scripts", err)
	}
	quoted := regexp.MustCompile("\"(?:[^\"\\\\]|\\\\.)*\"|`(?:[^`\\\\]|\\\\.)*`")
	sentence, put := regexp.MustCompile(`[A-Za-z]{2,} [A-Za-z]{2,}`), regexp.MustCompile(`\$\{[^}]*\}`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			code, _, _ := strings.Cut(line, "// ")
			for _, said := range quoted.FindAllString(code, -1) {
				if sentence.MatchString(put.ReplaceAllString(said, "")) {
					t.Errorf("%s says %s", file, said)
				}
			}
		}
	}
}
