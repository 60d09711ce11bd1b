package firestore_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

// edit is something that somebody tries who may write everything in the database, as in the home
// in SQL (relational/edits_test.go), by documents. The table in docs/ledger.md is of these.
type edit struct {
	what string
	id   string
	do   func(t *testing.T, r rigged)
	// refused: the request does not open any more. Otherwise state is what it opens as.
	refused bool
	state   access.State
	// found: verify finds it; with the head that the journal has, where only that is said.
	found, head bool
}

func edits() []edit {
	end := time.Now().Add(1000 * time.Hour).UnixMicro()
	same := func(map[string]any) {}
	action := func(to string, without ...string) func(map[string]any) {
		return func(text map[string]any) {
			text["action"] = to
			for _, name := range without {
				delete(text, name)
			}
		}
	}
	row := []string{"version", "head", "state", "principal", "reviewers", "resource", "made", "due", "summary"}
	// copied puts an entry of one request into another.
	copied := func(from string, version int, to string, as int) func(*testing.T, rigged) {
		return func(t *testing.T, r rigged) {
			source := r.doc(t, from)
			target := document{"entries": document{}, "parts": document{}}
			if to == pending {
				target = r.doc(t, to)
			}
			target["entries"].(document)[v(as)], target["parts"].(document)[v(as)] = entry(source, version), partsOf(source, version)
			r.set(t, to, target)
		}
	}
	return []edit{
		{"a row is made approved", pending, both(field(pending, "state", "approved"), field(pending, "due", 1)), false, access.Pending, true, false},
		{"a row gets a longer window", approved, edited(approved, func(t *testing.T, d document) {
			d["summary"] = []byte(strings.ReplaceAll(string(d["summary"].([]byte)), `"seconds":1800`, `"seconds":180000`))
		}), false, access.Approved, true, false},
		{"a row is deleted", pending, edited(pending, func(t *testing.T, d document) {
			for _, name := range row {
				delete(d, name)
			}
		}), false, access.Pending, true, false},
		{"an approval is made to complete", pending,
			body(pending, 2, `"parts"`, fmt.Sprintf(`"start":%d,"end":%d,"parts"`, end-1e6, end)), true, "", true, false},
		{"it takes fewer than it did", pending, body(pending, 2, `"count":2`, `"count":1`), true, "", true, false},
		{"an approval comes in without a signature", pending, both(inserted(pending, 3, same), unsigned(pending, 3)), true, "", true, false},
		{"an approval is counted twice", pending, inserted(pending, 3, same), true, "", true, false},
		{"a signature is copied under another name", pending, inserted(pending, 3, func(text map[string]any) {
			text["actor"] = strings.Repeat("a", 64)
		}), true, "", true, false},
		{"an approval is copied from another request", pending, copied(approved, 2, pending, 3), true, "", true, false},
		{"an approval is signed with a key of one's own", pending, both(inserted(pending, 3, same), signedBy(pending, 3)), true, "", true, false},
		{"a window is lengthened, with a key of one's own", approved, both(body(approved, 2, `"end":`, `"end":9`), signedBy(approved, 2)),
			true, "", true, false},
		{"a whole chain is signed with a key of one's own", approved, both(signedBy(approved, 1), signedBy(approved, 2)), true, "", true, false},
		{"a window is lengthened", approved, body(approved, 2, `"end":`, `"end":9`), true, "", true, false},
		{"a verdict is flipped", denied, body(denied, 3, `"verdict":"deny"`, `"verdict":"approve"`), true, "", true, false},
		{"a denial becomes an approval", denied, both(body(denied, 3, `"verdict":"deny"`, `"verdict":"approve"`),
			body(denied, 3, `"action":"denied"`, `"action":"approved"`)), true, "", true, false},
		{"a denial is deleted", denied, cut(denied, 3), false, access.Pending, true, false},
		{"a denial is deleted, and the row follows", denied, back(denied, 2), false, access.Pending, true, true},
		{"an entry is deleted from the middle", denied, cut(denied, 2), true, "", true, false},
		{"entries change places", denied, edited(denied, func(t *testing.T, d document) {
			for _, of := range []string{"entries", "parts"} {
				m := d[of].(document)
				m["v2"], m["v3"] = m["v3"], m["v2"]
			}
		}), true, "", true, false},
		{"a request is removed", denied, func(t *testing.T, r rigged) { r.remove(t, denied) }, true, "", true, true},
		{"everything is rolled back to before the grant", granted, back(granted, 2), false, access.Approved, true, true},
		{"another person asked for it", approved, content(approved, 0, "ana@", "mal@"), true, "", true, false},
		{"another role was asked for", approved, content(approved, 0, "compute.admin", "owner"), true, "", true, false},
		{"another person approved", approved, content(approved, 2, "ben@", "mal@"), true, "", true, false},
		{"somebody else was asked", pending, edited(pending, func(t *testing.T, d document) {
			p := partsOf(d, 1)[3].(document)
			p["content"], p["person"] = []byte("mal@example.com"), "mal@example.com"
		}), true, "", true, false},
		{"people are asked who were not", pending, inserted(pending, 3, action("reviewers added")), true, "", true, false},
		{"who asked is erased", approved, edited(approved, func(t *testing.T, d document) { partsOf(d, 1)[0] = nil }), true, "", false, false},
		{"a grant is told that never was", approved, inserted(approved, 3, action("granted", "verdict")), true, "", true, false},
		{"a request becomes a grant that was found", approved, both(cut(approved, 2),
			body(approved, 1, `"action":"request made"`, `"action":"taken in"`)), true, "", true, false},
		{"a grant that was found is told of, unsigned", approved, both(cut(approved, 2),
			body(approved, 1, `"action":"request made"`, `"action":"taken in"`), unsigned(approved, 1)), true, "", true, false},
		{"a grant that was found is approved and written again", found, inserted(found, 2, action("approved")), true, "", true, false},
		{"a grant that was found was for longer", found, body(found, 1, `"end":`, `"end":9`), true, "", true, false},
		{"a grant was for longer, in the middle", granted, body(granted, 3, `"end":`, `"end":9`), true, "", true, false},
		{"the request digest is another", approved, body(approved, 2, `"request":"`, `"request":"0`), true, "", true, false},
		{"a request becomes a broken glass", pending, both(cut(pending, 2),
			body(pending, 1, `"action":"request made"`, fmt.Sprintf(`"action":"broken glass","start":%d,"end":%d`, end-1e6, end))), true, "", true, false},
		{"a request becomes a broken glass, with a key of one's own", pending, both(cut(pending, 2),
			body(pending, 1, `"action":"request made"`, `"action":"broken glass"`), signedBy(pending, 1)), true, "", true, false},
		{"a broken glass is taken from those that wait for a review", broken, field(broken, "reviewers", []any{}), false, access.Approved, true, false},
		{"somebody is taken from those who were asked", pending, edited(pending, func(t *testing.T, d document) {
			d["reviewers"] = d["reviewers"].([]any)[1:]
		}), false, access.Pending, true, false},
		{"somebody has it in their list who was not asked", pending, edited(pending, func(t *testing.T, d document) {
			d["reviewers"] = append(d["reviewers"].([]any), "mal@example.com")
		}), false, access.Pending, true, false},
		{"a glass is broken for longer", broken, body(broken, 1, `"end":`, `"end":9`), true, "", true, false},
		{"a glass is broken by somebody else", broken, content(broken, 0, "ana@", "mal@"), true, "", true, false},
		{"a broken glass is signed with a key of one's own", broken, signedBy(broken, 1), true, "", true, false},
		{"a broken glass is brought in under another number", "brk-0000000000000099", copied(broken, 1, "brk-0000000000000099", 1),
			true, "", true, false},
		// By somebody with a service of their own; dated later than the last head nothing finds it.
		{"a broken glass is said to have failed", broken, func(t *testing.T, r rigged) {
			s := ledger.New(ledger.Config{Home: r, Signer: keys(t, 66), Now: time.Now, Random: rand.Reader})
			e := access.Event{Action: access.GrantFailed, At: time.Unix(1, 0), Request: access.Request{ID: broken},
				Err: &access.Error{Kind: access.Unprocessable, Code: access.CodeNotGranted}}
			if _, err := s.Commit(t.Context(), e, nil); err != nil {
				t.Fatal(err)
			}
		}, false, access.Failed, true, true},
		{"a broken glass is reviewed by nobody", broken, inserted(broken, 2, action("reviewed", "start", "end")), true, "", true, false},
		{"an entry is not in the canonical form", approved, body(approved, 2, `,"version"`, `, "version"`), true, "", true, false},
		{"an entry says a thing twice", approved, body(approved, 2, `,"version":2`, `,"version":2,"version":2`), true, "", true, false},
		{"an entry is no entry", approved, body(approved, 2, `{`, `[`), true, "", true, false},
	}
}

func TestNobodyWithTheDatabaseAloneGetsAccess(t *testing.T) {
	for _, e := range edits() {
		t.Run(e.what, func(t *testing.T) {
			c, home := newClock(), rig(t)
			s := store(t, home, c)
			scene(t, home, s, c)
			c.Advance(time.Minute)
			head, err := s.Head(t.Context(), c.Now())
			if err != nil {
				t.Fatal(err)
			}
			verified := func(heads ...access.Head) ledger.Report {
				report, err := ledger.Verify(t.Context(), home, keys(t, 7), heads...)
				if err != nil {
					t.Fatal(err)
				}
				return report
			}
			if report := verified(head); len(report.Findings) > 0 || report.Erased > 0 {
				t.Fatalf("before anything: %+v", report)
			}
			e.do(t, home)
			got, err := s.Open(t.Context(), e.id)
			if (err != nil) != e.refused || got.State != e.state {
				t.Errorf("opens as %q, %v", got.State, err)
			}
			if got.State == access.Approved && got.Window.Length() > 30*time.Minute {
				t.Errorf("window %v", got.Window)
			}
			plain, with := verified(), verified(head)
			if found := len(plain.Findings)+plain.SelfAttested > 0; found != (e.found && !e.head) {
				t.Errorf("verify finds %+v", plain)
			}
			if found := len(with.Findings)+with.SelfAttested > 0; found != e.found {
				t.Errorf("with the head verify finds %+v", with)
			}
			if !e.found && with.Erased == 0 {
				t.Error("nobody says so")
			}
		})
	}
}

// Whoever writes the database may put anything into any field. One such document keeps nothing
// else from being read, and what is longer than anything that was recorded reads as nothing.
func TestADocumentOfOtherTypesKeepsNoOtherFromBeingRead(t *testing.T) {
	set := func(id, name string, to any) func(*testing.T, rigged) { return field(id, name, to) }
	other := func(collection, name string, to document) func(*testing.T, rigged) {
		return func(t *testing.T, r rigged) {
			if _, err := r.client.Collection(collection).Doc(name).Set(t.Context(), to); err != nil {
				t.Fatal(err)
			}
		}
	}
	long := []byte(strings.Repeat("x", 900_000))
	for what, do := range map[string]func(*testing.T, rigged){
		"a version that is a text":       set(denied, "version", "x"),
		"a version without end":          set(denied, "version", 1e300),
		"a time that is a text":          set(denied, "made", "x"),
		"a time without end":             set(denied, "made", 1e300),
		"a time that is no number":       set(denied, "made", -0.5),
		"what is due is half a second":   set(denied, "due", 0.5),
		"a state that is a list":         set(denied, "state", []any{"pending"}),
		"a person who is a map":          set(denied, "principal", document{"x": "y"}),
		"reviewers that are a text":      set(denied, "reviewers", "ben@example.com"),
		"reviewers that are numbers":     set(denied, "reviewers", []any{1, nil, document{}}),
		"entries that are a text":        set(denied, "entries", "x"),
		"entries of texts":               set(denied, "entries", document{"v1": "x", "v-2": 1, "x": nil}),
		"entries under two names":        edited(denied, func(_ *testing.T, d document) { d["entries"].(document)["2"] = d["entries"].(document)["v1"] }),
		"parts that are a list":          set(denied, "parts", []any{"x"}),
		"parts of numbers":               set(denied, "parts", document{"v1": 1, "v2": []any{1, nil}}),
		"a summary that is a text":       set(denied, "summary", "{}"),
		"a summary without end":          set(denied, "summary", long),
		"a request that is empty":        other("requests", "-mpa-0000000000000077", document{}),
		"a request with no name of ours": other("requests", "x%", document{"made": 1, "due": 1, "principal": "ana@example.com"}),
		"a message that is empty":        other("outbox", "-x", document{}),
		"a message of other types":       other("outbox", "-x", document{"besides": false, "channels": "", "person": "", "due": "x", "made": "x", "attempts": "x", "aside": 1}),
		"a message without end":          other("outbox", "-x", document{"besides": false, "channels": "", "person": "", "due": 1, "made": 1, "aside": false, "notice": long}),
		"a policy that is empty":         other("notes", "x", document{"kind": "policy"}),
		"a policy of other types":        other("notes", "x", document{"kind": "policy", "made": "x", "body": 1}),
		"a doubt of long ago":            other("notes", "x", document{"kind": "doubt", "made": 0.5}),
		"a sweep at no time":             other("state", "-sweep", document{"began": "x"}),
		"a layout that is none":          other("state", "-layout", document{"version": "x"}),
		"a session that ends at no time": other("sessions", "-x", document{"until": "x"}),
		"a lease that ends at no time":   other("leases", "-x", document{"since": "x", "life": "x"}),
		"a document of another database": other("jobs", "x", document{"made": 1}),
	} {
		t.Run(what, func(t *testing.T) {
			c, home := newClock(), rig(t)
			s := store(t, home, c)
			scene(t, home, s, c)
			if err := home.Keep(t.Context(), ledger.Note{Kind: "x", ID: "x"}, ledger.Kept{ID: "good", Notice: []byte(`{}`), Made: c.Now(), Due: c.Now()}); err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{pending, approved, granted, found, broken} {
				set(id, "due", 1)(t, home)
			}
			do(t, home)
			c.Advance(2 * time.Hour)
			list, err := s.List(t.Context(), access.Listing{Principal: "ana@example.com", Attest: true})
			if err != nil || len(list.Requests) < 5 {
				t.Errorf("lists %d, %v", len(list.Requests), err)
			}
			if due, err := s.Due(t.Context(), c.Now(), access.Due{}, 20); err != nil || len(due) < 5 {
				t.Errorf("due %d, %v", len(due), err)
			}
			n := 0
			for m, err := range s.Take(t.Context(), c.Now(), time.Minute, 20, false) {
				if n++; err != nil {
					t.Errorf("%v, %v", m, err)
				}
			}
			if n == 0 {
				t.Error("no message was taken")
			}
			if _, _, err := s.Count(t.Context(), access.Listing{}); err != nil {
				t.Errorf("count: %v", err)
			}
			if _, err := s.KeepPolicy(t.Context(), []byte("version: 1")); err != nil {
				t.Errorf("policy: %v", err)
			}
			if _, err := s.Doubted(t.Context()); err != nil {
				t.Errorf("doubt: %v", err)
			}
			if _, err := s.LastSweep(t.Context()); err != nil {
				t.Errorf("sweeps: %v", err)
			}
			if _, _, _, err := s.Outbox(t.Context()); err != nil {
				t.Errorf("outbox: %v", err)
			}
			if _, err := s.EndSession(t.Context(), "y", c.Now()); err != nil {
				t.Errorf("session: %v", err)
			}
			if release, err := s.Lease(t.Context(), "x", time.Minute); err != nil {
				t.Errorf("lease: %v", err)
			} else if err := release(t.Context()); err != nil {
				t.Errorf("lease: %v", err)
			}
			if report, err := ledger.Verify(t.Context(), home, keys(t, 7)); err != nil || report.Requests < 6 {
				t.Errorf("verify %+v, %v", report, err)
			}
			if err := home.Prepare(t.Context()); err != nil {
				t.Errorf("layout: %v", err)
			}
			if _, err := s.Open(t.Context(), pending); err != nil {
				t.Error(err)
			}
		})
	}
}
