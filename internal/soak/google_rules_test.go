package soak_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"jitaccess/internal/sandbox/google"
)

// TestEveryWriteIsJudged: the rules find what they are there for, and nothing else.
func TestEveryWriteIsJudged(t *testing.T) {
	const alice, bob, project = "person-0001@example.com", "person-0002@example.com", "workload-00001-prod"
	now := time.Now().UTC()
	binding := func(member, by, reason string, start, end time.Time) google.Binding {
		return google.Binding{Role: google.TeamPeerRole, Members: []string{"user:" + member}, Condition: &google.Condition{Title: title,
			Description: by + ", justification: " + reason + " [mpa-1234567890123456]",
			Expression: fmt.Sprintf(`(request.time >= timestamp("%s") && request.time < timestamp("%s"))`,
				start.Format(time.RFC3339), end.Format(time.RFC3339))}}
	}
	half := now.Add(30 * time.Minute)
	approved := binding(alice, "Approved by "+bob, "soak-1", now, half)
	others := google.Binding{Role: "roles/viewer", Members: []string{"group:team-000@example.com", "user:" + bob}}
	by := func(approver string) string { return "Approved by " + approver }
	one := func(b google.Binding) []google.Binding { return []google.Binding{b} }
	timed, fewer := others, others
	fewer.Members = others.Members[:1]
	timed.Condition = &google.Condition{Title: "until noon", Expression: "true"}
	for name, rule := range map[string]struct {
		before, after []google.Binding
		resource      string
		ended         bool
		want          []kind
	}{
		"as approved":         {before: one(others), after: []google.Binding{others, approved}},
		"rearranged":          {before: []google.Binding{others, approved}, after: []google.Binding{approved, others}},
		"ended":               {before: one(approved), ended: true},
		"over, and cleared":   {before: one(binding(alice, by(bob), "soak-1", now.Add(-time.Hour), now.Add(-time.Minute)))},
		"gone":                {before: one(approved), want: []kind{missing}},
		"nobody approved":     {after: one(binding(alice, by(alice), "soak-1", now, half)), want: []kind{unapproved}},
		"half of them did":    {after: one(binding(alice, by(bob+", "+alice), "soak-1", now, half)), want: []kind{unapproved}},
		"as if by themselves": {after: one(binding(alice, "Self-approved", "soak-1", now, half)), want: []kind{unapproved}},
		"not yet activated":   {after: one(binding(alice, "Self-approved", "soak-2", now, half)), want: []kind{unapproved}},
		"of somebody else":    {after: one(binding(bob, by(bob), "soak-1", now, half)), want: []kind{otherGrant}},
		"nobody asked":        {after: one(binding(alice, by(bob), "soak-3", now, half)), want: []kind{otherGrant}},
		"longer":              {after: one(binding(alice, by(bob), "soak-1", now, half.Add(time.Second))), want: []kind{otherGrant}},
		"later":               {after: one(binding(alice, by(bob), "soak-1", half, half.Add(time.Minute))), want: []kind{otherGrant}},
		"on another project":  {after: one(approved), resource: "projects/workload-00002-prod", want: []kind{otherGrant}},
		"on the folder":       {after: one(approved), resource: "folders/1", want: []kind{otherGrant}},
		"for good":            {after: one(google.Binding{Role: google.TeamPeerRole, Members: others.Members}), want: []kind{otherGrant}},
		"less of others":      {before: one(others), after: one(fewer), want: []kind{foreign}},
		"a lost condition":    {before: one(timed), after: one(others), want: []kind{otherGrant, foreign}},
	} {
		t.Run(name, func(t *testing.T) {
			var w wrongs
			var phase atomic.Pointer[string]
			phase.Store(new(string))
			g := newWatched(google.Size{}, &phase, &w)
			for reason, self := range map[string]bool{"soak-1": false, "soak-2": true} {
				g.ask(&request{reason: reason, person: alice, role: google.TeamPeerRole, project: project, minutes: 30, self: self})
			}
			g.requests["soak-1"].approvers[bob] = true
			g.requests["soak-1"].endSent = rule.ended
			if rule.resource == "" {
				rule.resource = "projects/" + project
			}
			g.written(rule.resource, rule.before, rule.after)
			var got []kind
			for key := range w.seen {
				got = append(got, key.kind)
			}
			slices.Sort(got)
			slices.Sort(rule.want)
			if !slices.Equal(got, rule.want) {
				t.Errorf("%q, want %q", got, rule.want)
			}
		})
	}
}

func TestFormsAreReadAsBrowsersDo(t *testing.T) {
	const page = `<form action="/other"><input name="q"></form>
<form method="post" action="/review?activation=a&amp;b"><input type="hidden" name="verdict" value="approve"><input name="digest" value="d">
<input type="radio" name="minutes" value="15"><input type="radio" name="minutes" value="30" checked>
<input type="checkbox" name="reviewer" value="x"></form>
<form action="/review"><input name="verdict" value="deny"></form>`
	action, fields, found := form([]byte(page), "verdict=approve")
	if !found || action != "/review?activation=a&b" || fields.Encode() != "digest=d&minutes=30&verdict=approve" {
		t.Errorf("%q %q %v", action, fields, found)
	}
	if _, _, found := form([]byte(page), "verdict=perhaps"); found {
		t.Error("a form that is not there")
	}
	if _, _, found := form([]byte(page), "reviewer=x"); !found {
		t.Error("a choice that is not taken is still one of the form's")
	}
}

// TestNoWrongDecisionIsKnown: whatever a finding is about, who gets access is right.
func TestNoWrongDecisionIsKnown(t *testing.T) {
	for _, f := range known {
		if !slices.Contains([]string{controlPhase, hostilePhase, probePhase}, f.phase) || f.finding < 1 || f.what == "" {
			t.Errorf("%+v", f)
		}
		if slices.Contains([]kind{unapproved, otherGrant, missing, stillThere, foreign, stranger, panicked, failed, unexpected}, f.kind) {
			t.Errorf("%q must never be known", f.kind)
		}
	}
}
