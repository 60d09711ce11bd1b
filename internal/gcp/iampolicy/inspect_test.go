package iampolicy_test

import (
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/gcp/iampolicy"
)

func TestWhatLooksLikeGrantsIsInspected(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const (
		live  = `(request.time >= timestamp("2026-03-01T11:30:00Z") && request.time < timestamp("2026-03-01T12:30:00Z"))`
		over  = `(request.time >= timestamp("2026-02-28T11:30:00Z") && request.time < timestamp("2026-02-28T12:30:00Z"))`
		fresh = `(request.time >= timestamp("2026-03-01T11:00:00Z") && request.time < timestamp("2026-03-01T11:59:00Z"))`
		jit   = "Self-approved, justification: case 1 [jit-0000000000000001]"
		mpa   = "Approved by ben@example.com, justification: case 1 [mpa-0000000000000001]"
	)
	ana := []string{"user:ana@example.com"}
	for what, c := range map[string]struct {
		title, description, expression string
		members                        []string
		kind                           access.OddityKind
		id                             string
	}{
		"as it is written":                  {iampolicy.Title, jit, live, ana, "", ""},
		"approved, as it is written":        {iampolicy.Title, mpa, live, ana, "", ""},
		"of JIT Access 1.x":                 {iampolicy.Title, "Self-approved, justification: case 1", live, ana, "", ""},
		"for a part of the resource":        {iampolicy.Title, jit, "(" + live + `) && (resource.name == "a")`, ana, "", ""},
		"over a minute ago":                 {iampolicy.Title, jit, fresh, ana, "", ""},
		"spelled otherwise":                 {iampolicy.Title, jit, `(resource.name == "a") && ` + live, ana, access.Edited, "jit-0000000000000001"},
		"another member":                    {iampolicy.Title, jit, live, append(ana, "user:mallory@example.com"), access.Edited, "jit-0000000000000001"},
		"a group":                           {iampolicy.Title, jit, live, []string{"group:all@example.com"}, access.Edited, "jit-0000000000000001"},
		"its approvers are gone":            {iampolicy.Title, "fine [mpa-0000000000000001]", live, ana, access.Edited, "mpa-0000000000000001"},
		"it says that nobody had to":        {iampolicy.Title, "Self-approved, justification: x [mpa-0000000000000001]", live, ana, access.Edited, "mpa-0000000000000001"},
		"it says that somebody approved":    {iampolicy.Title, "Approved by ben@example.com, justification: x [jit-0000000000000001]", live, ana, access.Edited, "jit-0000000000000001"},
		"our title, not our text":           {iampolicy.Title, jit, `request.time < timestamp("2036-03-01T12:30:00Z")`, ana, access.Imitated, "jit-0000000000000001"},
		"our title, and always":             {iampolicy.Title, "", `true`, ana, access.Imitated, ""},
		"our title, or always":              {iampolicy.Title, jit, live + " || true", ana, access.Imitated, "jit-0000000000000001"},
		"our title of an eligibility":       {iampolicy.Title, "", `has({}.jitAccessConstraint)`, ana, "", ""},
		"our text and id, another title":    {"Grant", jit, strings.ReplaceAll(live, "2026-03-01T12:30", "2036-03-01T12:30"), ana, access.Untitled, "jit-0000000000000001"},
		"somebody else's, limited in time":  {"Contractor", "until the end", live, ana, "", ""},
		"somebody else's":                   {"Only a", "", `resource.name == "a"`, ana, "", ""},
		"over yesterday, and still there":   {iampolicy.Title, jit, over, ana, access.Uncleared, "jit-0000000000000001"},
		"approved, over and still there":    {iampolicy.Title, mpa, over, ana, access.Uncleared, "mpa-0000000000000001"},
		"of somebody deleted, over":         {iampolicy.Title, jit, over, []string{"deleted:user:ana@example.com?uid=1"}, access.Uncleared, "jit-0000000000000001"},
		"our title, a time that is no time": {iampolicy.Title, jit, strings.ReplaceAll(live, "2026-03-01T12:30:00Z", "soon"), ana, access.Imitated, "jit-0000000000000001"},
	} {
		p := iampolicy.New([]iampolicy.Binding{{Role: "roles/viewer.x", Members: c.members,
			Condition: &iampolicy.Condition{Title: c.title, Description: c.description, Expression: c.expression}}})
		found := p.Inspect(now)
		if c.kind == "" {
			if len(found.Oddities) != 0 {
				t.Errorf("%s: %+v", what, found.Oddities)
			}
			continue
		}
		if len(found.Oddities) != 1 || found.Oddities[0].Kind != c.kind || found.Oddities[0].ID != c.id || found.Oddities[0].Why == "" {
			t.Errorf("%s: %+v", what, found.Oddities)
		}
	}
	p := iampolicy.New([]iampolicy.Binding{{Role: "roles/viewer.x", Members: []string{"user:Ana@example.com", "group:ops@example.com"}}, {Role: "odd role", Members: ana},
		{Role: "roles/viewer.y"}})
	if found := p.Inspect(now); len(found.Permanent) != 2 || found.Permanent[0].Members[0] != "user:ana@example.com" || len(found.Oddities) != 0 {
		t.Errorf("%+v", found)
	}
	// Bindings that nobody should have written.
	for _, members := range [][]string{nil, {""}, {"user:"}, {"user:ana@example.com", "user:ana@example.com"}} {
		iampolicy.New([]iampolicy.Binding{{Role: "", Members: members, Condition: &iampolicy.Condition{Title: iampolicy.Title, Description: jit, Expression: live}}}).Inspect(now)
		iampolicy.New([]iampolicy.Binding{{Role: "roles/x", Members: members, Condition: &iampolicy.Condition{Title: iampolicy.Title, Expression: live}}}).Inspect(now)
		iampolicy.New([]iampolicy.Binding{{Role: "roles/x", Members: members, Condition: &iampolicy.Condition{Title: iampolicy.Title,
			Description: "Self-approved, justification: x", Expression: live}}}).Inspect(now)
	}
}
