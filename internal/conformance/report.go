package conformance

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/lazyregexp"
)

// address is what looks like one of somebody.
var address = lazyregexp.New(`[^\s"'<>()\[\],;:=]+@[A-Za-z0-9.-]+`)

// above is what the project is in, as Google names it.
var above = lazyregexp.New(`\b(organizations|folders)/[0-9]+|\bC0[0-9a-z]{7}\b`)

// link is what a link of Firestore's names in Base64.
var link = lazyregexp.New(`\bcreate_[a-z]+=[^\s"]+`)

// redaction takes out of Google's texts who and what they name.
func redaction(c Config, p project) func(string) string {
	var names []string
	for _, known := range [][2]string{{c.Account, "CALLER"}, {c.Group, "GROUP"}, {p.ProjectID, "PROJECT"}, {p.number(), "NUMBER"}} {
		if known[0] != "" {
			names = append(names, known[0], known[1])
		}
	}
	known := strings.NewReplacer(names...)
	return func(text string) string {
		text = address().ReplaceAllString(known.Replace(text), "SOMEBODY")
		text = link().ReplaceAllString(text, "LINK")
		text = above().ReplaceAllString(text, "ABOVE")
		if d := domain(c.Group); d != "" {
			text = strings.ReplaceAll(text, d, "DOMAIN")
		}
		return access.Visible(strings.Join(strings.Fields(text), " "))
	}
}

// Text writes the report for people.
func (r Report) Text(w io.Writer) error {
	google := "Google Cloud"
	if !r.Real {
		google = "a stand-in for Google Cloud"
	}
	fmt.Fprintf(w, "jitaccess %s against %s, %s to %s\n", r.Version, google, r.Began.Format(time.RFC3339), r.Ended.Format(time.TimeOnly))
	if len(r.LetPass) > 0 {
		fmt.Fprintf(w, "In the policy stood: %s\n", strings.Join(r.LetPass, ", "))
	}
	if r.Database != "" {
		fmt.Fprintf(w, "Documents were written in the database: %s\n", r.Database)
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.ID, c.Result, c.Observed)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, c := range slices.DeleteFunc(slices.Clone(r.Checks), func(c Checked) bool { return c.Result != Differs }) {
		fmt.Fprintf(w, "\n%s differs\n  assumed:  %s\n  source:   %s\n  observed: %s\n", c.ID, c.Assumption, c.Source, c.Observed)
	}
	fmt.Fprintf(w, "\n%s, %s, %d could not be tried\n", access.Counted(r.Count(Passes), "passes", "pass"),
		access.Counted(r.Count(Differs), "differs", "differ"), r.Count(Untried))
	if len(r.Left) == 0 {
		_, err := fmt.Fprintln(w, "Nothing was left behind.")
		return err
	}
	_, err := fmt.Fprintf(w, "Left behind: %s\n", strings.Join(r.Left, "; "))
	return err
}
