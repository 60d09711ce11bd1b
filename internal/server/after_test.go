package server_test

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
)

// The page to which an activation leads says what that gave, and not what another did.
func TestThePageAfterAnActivationShowsThatAlone(t *testing.T) {
	w := newWorld(t)
	of := func(id string, e access.EntitlementID, length time.Duration) access.Activation {
		return access.Activation{RequestID: id, Principal: ana, Entitlement: e, Window: access.Window{Start: noon, End: noon.Add(length)}}
	}
	var held []access.EntitlementID
	for _, e := range w.Holdings[ana] {
		if e.ID.Resource == orders && e.SelfApproval {
			held = append(held, e.ID)
		}
	}
	if len(held) < 2 {
		t.Fatal("ana needs two roles that she activates alone")
	}
	w.Activations = []access.Activation{of("jit-AAAAAAAAAAAAAAAA", held[0], 20*time.Minute), of("jit-BBBBBBBBBBBBBBBB", held[1], 40*time.Minute)}
	h, _ := serve(t, w, nil)
	for id, want := range map[string]string{"jit-AAAAAAAAAAAAAAAA": "(in 20 minutes)", "jit-BBBBBBBBBBBBBBBB": "(in 40 minutes)", "jit-CCCCCCCCCCCCCCCC": ""} {
		r := request("GET", "/access/"+string(orders)+"?done="+id)
		r.Header.Set(personHeader, string(ana))
		page := html.UnescapeString(do(h, r).Body.String())
		_, section, found := strings.Cut(page, `id="done"`)
		section, _, _ = strings.Cut(section, "</section>")
		if n := strings.Count(section, "(in "); !found || want != "" && (n != 1 || !strings.Contains(section, want)) || want == "" && n != 0 {
			t.Errorf("%s: %s", id, section)
		}
	}
}

// What an action rested on is told by its answer: the page behind a redirect looks anew,
// and may find nothing to say of it.
func TestAnActionThatRestedOnRememberedFactsSaysSo(t *testing.T) {
	for code, want := range map[access.Code]string{access.CodeStaleGroups: "what it said 40 seconds ago", access.CodeStaleInventory: "40 seconds"} {
		w := newWorld(t)
		w.Warnings = []*access.Error{{Kind: access.TooMany, Code: code, Args: access.Args{"seconds": "40"}}}
		h, _ := serve(t, w, nil)
		var id access.EntitlementID
		for _, e := range w.Holdings[ana] {
			if e.ID.Resource == orders && e.SelfApproval && e.ID.Condition == "" {
				id = e.ID
			}
		}
		r := request("POST", "/access/"+string(orders))
		r.Body = io.NopCloser(strings.NewReader(url.Values{"entitlement": {id.String()}, "justification": {"case 4711"}, "minutes": {"30"}}.Encode()))
		answer := do(h, r)
		if page := html.UnescapeString(answer.Body.String()); answer.Code != http.StatusOK || !strings.Contains(page, want) || len(w.Activations) != 1 {
			t.Errorf("%s: %d, %s", code, answer.Code, page)
		}
		granted := w.Journal[len(w.Journal)-1]
		if granted.Action != access.GrantWritten || len(granted.Warnings) != 1 || granted.Warnings[0].Code != code {
			t.Errorf("%s: journal %+v", code, granted)
		}
	}
}
