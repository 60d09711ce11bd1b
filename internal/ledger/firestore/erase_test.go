package firestore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/ledger/firestoretest"
)

func TestPeopleAreErasedAndTheChainStays(t *testing.T) {
	c, home := newClock(), rig(t)
	s := store(t, home, c)
	scene(t, home, s, c)
	c.Advance(time.Minute)
	head, err := s.Head(t.Context(), c.Now())
	if err != nil {
		t.Fatal(err)
	}
	verify := func(erased int) {
		t.Helper()
		report, err := ledger.Verify(t.Context(), home, keys(t, 7), head)
		if err != nil || len(report.Findings) > 0 || report.Erased != erased || report.SelfAttested > 0 {
			t.Errorf("%+v, %v", report, err)
		}
	}
	c.Advance(12 * time.Hour)
	for _, id := range []string{granted, "mpa-of-another"} {
		if err := s.Told(t.Context(), id, access.Receipts{{Channel: "slack", Ref: "D1/1"}}); err != nil {
			t.Fatal(err)
		}
	}
	// Chloe said no, once, and was asked by all. What is still open is kept.
	done, err := ledger.ErasePerson(t.Context(), home, keys(t, 7), "chloe@example.com", c.Now())
	if err != nil || done.Requests != 3 || done.Kept != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	verify(1)
	if list, err := s.List(t.Context(), access.Listing{Reviewer: "chloe@example.com"}); err != nil || len(list.Requests) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	c.Advance(48 * time.Hour)
	if done, err = ledger.Retain(t.Context(), home, keys(t, 7), c.Now().Add(-24*time.Hour), c.Now()); err != nil || done.Requests != 6 || done.Kept != 0 {
		t.Errorf("%+v, %v", done, err)
	}
	verify(6)
	for id, want := range map[string]int{granted: 0, "mpa-of-another": 1} {
		if told, err := s.Receipts(t.Context(), id); err != nil || len(told) != want {
			t.Errorf("%s: of what was told are left %v, %v", id, told, err)
		}
	}
	if done, err = ledger.Retain(t.Context(), home, keys(t, 7), c.Now(), c.Now()); err != nil || done != (ledger.Erased{}) {
		t.Errorf("again: %+v, %v", done, err)
	}
	var everything bytes.Buffer
	if err := errors.Join(ledger.ExportLines(t.Context(), home, &everything), ledger.ExportTable(t.Context(), home, keys(t, 7), &everything)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{pending, denied, approved, granted, broken, found} {
		for name, value := range home.doc(t, id) {
			if name != "entries" { // of which everything was exported
				fmt.Fprintf(&everything, "%s %s", name, value)
			}
		}
		if _, err := s.Open(t.Context(), id); access.AsError(err) == nil || access.AsError(err).Kind != access.Gone {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, personal := range []string{"ana", "ben@", "chloe", "dora", "incident", "compute", "shop-prod"} {
		if strings.Contains(everything.String(), personal) {
			t.Errorf("%q is still there", personal)
		}
	}
	// What becomes of them is no concern any more, and writes nothing back.
	if _, err := s.Commit(t.Context(), access.Event{Action: access.GrantEnded, At: c.Now(), Request: access.Request{ID: granted}}, nil); err != nil {
		t.Error(err)
	}
	// Nor does who writes what they had opened before.
	if err := home.Put(t.Context(), ledger.Write{Before: 4, Entry: ledger.Entry{Text: []byte("x")},
		Row: ledger.Row{ID: granted, Version: 5, Principal: "ana@example.com", Summary: []byte("{}")}}); !errors.Is(err, ledger.ErrChanged) {
		t.Errorf("written over what was erased: %v", err)
	}
}

// cutting fails commits from one on.
type cutting struct {
	after int
}

func (c *cutting) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, ":commit") {
		if c.after--; c.after < 0 {
			return nil, io.ErrUnexpectedEOF
		}
	}
	return seen.RoundTrip(r)
}

// What takes more than one commit can be cut off in between: it is not erased then, and is begun again.
func TestErasingThatIsCutOffIsBegunAgain(t *testing.T) {
	c, home := newClock(), rig(t)
	s := store(t, home, c)
	scene(t, home, s, c)
	c.Advance(100 * time.Hour)
	for n := range 2 {
		kept := make([]ledger.Kept, 400)
		for i := range kept {
			kept[i] = ledger.Kept{ID: fmt.Sprintf("%d-%d", n, i), Request: denied, Notice: []byte("ana"), Made: c.Now()}
		}
		if err := home.Keep(t.Context(), ledger.Note{Kind: ledger.NotesOf(denied), ID: fmt.Sprint(n)}, kept...); err != nil {
			t.Fatal(err)
		}
	}
	home.Through(&cutting{1})
	if done, err := ledger.ErasePerson(t.Context(), home, keys(t, 7), "ana@example.com", c.Now()); err == nil {
		t.Errorf("%+v", done)
	}
	home.Through(seen)
	if report, err := ledger.Verify(t.Context(), home, keys(t, 7)); err != nil || len(report.Findings) > 0 || report.Erased == 6 {
		t.Errorf("%+v, %v", report, err)
	}
	if done, err := ledger.ErasePerson(t.Context(), home, keys(t, 7), "ana@example.com", c.Now()); err != nil || done.Kept > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	aside, err := home.Aside(t.Context(), 1000)
	notes, failed := home.Notes(t.Context(), ledger.NotesOf(denied), 10)
	if err != nil || failed != nil || len(aside)+len(notes) > 0 {
		t.Errorf("%d messages and %d notes are left, %v, %v", len(aside), len(notes), err, failed)
	}
}

// A row by hand at another version than its entries, or an entry by hand behind the last one, is
// gone on from by nobody.
func TestWhatIsThereByHandIsNotWrittenOver(t *testing.T) {
	c, home := newClock(), rig(t)
	s := store(t, home, c)
	scene(t, home, s, c)
	r, err := s.Open(t.Context(), approved)
	if err != nil {
		t.Fatal(err)
	}
	written := access.Event{Action: access.GrantWritten, At: c.Now(), Request: r, Window: r.Window}
	for what, change := range map[string]func(*testing.T, rigged){
		"another version": field(approved, "version", 7),
		"an entry behind": edited(approved, func(_ *testing.T, d document) { d["entries"].(document)["v3"] = document{"text": []byte("x")} }),
		"no summary":      field(approved, "summary", []byte{}),
	} {
		change(t, home)
		before := fmt.Sprint(home.doc(t, approved))
		if _, err := store(t, home, c).Commit(t.Context(), written, nil); access.AsError(err) == nil || access.AsError(err).Code != access.CodeLedgerDamaged {
			t.Errorf("%s: %v", what, err)
		}
		if after := fmt.Sprint(home.doc(t, approved)); after != before {
			t.Errorf("%s: %s, and then %s", what, before, after)
		}
		back(approved, 2)(t, home)
	}
	// Nor is it by who has read the row and not the entries.
	w := ledger.Write{Before: 2, Entry: ledger.Entry{Text: []byte("x")}, Row: ledger.Row{ID: approved, Version: 3, Summary: []byte("{}")}}
	edited(approved, func(_ *testing.T, d document) { d["entries"].(document)["v3"] = document{"text": []byte("y")} })(t, home)
	if err := home.Put(t.Context(), w); !errors.Is(err, ledger.ErrChanged) || string(entry(home.doc(t, approved), 3)["text"].([]byte)) != "y" {
		t.Errorf("an entry behind: %v", err)
	}
	back(approved, 2)(t, home)
	if err := home.Put(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if err := home.Put(t.Context(), w); !errors.Is(err, ledger.ErrChanged) {
		t.Errorf("the second: %v", err)
	}
}

// A request that has reached what Firestore takes is not out of reach: it says so, and opens as before.
func TestARequestThatIsFullSaysSo(t *testing.T) {
	c, home := newClock(), rig(t)
	s := store(t, home, c)
	scene(t, home, s, c)
	r, err := s.Open(t.Context(), pending)
	if err != nil {
		t.Fatal(err)
	}
	field(pending, "more", bytes.Repeat([]byte{1}, 1<<20-8_000))(t, home)
	c.Advance(time.Minute)
	denial := access.Event{Action: access.RequestDenied, At: c.Now(), Request: r, Caller: access.Caller{Principal: "dora@example.com"},
		Decision: access.Decision{Verdict: access.Deny, By: "dora@example.com", At: c.Now(), Digest: r.Digest(), Comment: strings.Repeat("no ", 3000)}}
	_, err = store(t, home, c).Commit(t.Context(), denial, nil)
	if own := access.AsError(err); own == nil || own.Kind != access.Unprocessable || own.Code != access.CodeRequestFull || own.Args["id"] != pending {
		t.Errorf("%v", err)
	}
	if again, err := store(t, home, c).Open(t.Context(), pending); err != nil || again.Version != r.Version || again.State != access.Pending {
		t.Errorf("%v, %v", again.State, err)
	}
}

func TestACountSaysWhetherItIsWhole(t *testing.T) {
	c, home := newClock(), rig(t)
	s := store(t, home, c)
	scene(t, home, s, c)
	for at, whole := range map[int]bool{5: false, 6: true} {
		restore := firestore.CountAtMost(at)
		counts, is, err := s.Count(t.Context(), access.Listing{})
		restore()
		n := 0
		for _, c := range counts {
			n += c.Requests
		}
		if err != nil || is != whole || n != at {
			t.Errorf("at most %d: %d, whole %v, %v", at, n, is, err)
		}
	}
}

// Lists are held against entries that come with their rows, and are asked for nothing more.
func TestAListIsHeldAgainstTheEntriesThatComeWithIt(t *testing.T) {
	c, home := newClock(), rig(t)
	s := store(t, home, c)
	scene(t, home, s, c)
	edited(denied, func(_ *testing.T, d document) { d["state"] = "active" })(t, home)
	cut(found, 1)(t, home)
	home.Through(without{":batchGet"})
	defer home.Through(seen)
	list, err := store(t, home, c).List(t.Context(), access.Listing{Attest: true})
	if err != nil || len(list.Requests) != 6 {
		t.Fatal(len(list.Requests), err)
	}
	for _, r := range list.Requests {
		want := map[string]access.Attestation{denied: access.Altered, found: access.Unlooked}[r.ID] // of what came with none more was asked
		if want == "" {
			want = access.Signed
		}
		if r.Attestation != want {
			t.Errorf("%s is %s, want %s", r.ID, r.Attestation, want)
		}
	}
	// Of texts without end no more is held in memory than of lists in other homes.
	home.Through(seen)
	rows, err := home.List(t.Context(), ledger.Query{Max: 10, Entries: 3000})
	with := 0
	for _, row := range rows {
		if row.Entries != nil {
			with++
		}
	}
	if err != nil || len(rows) != 6 || with == 0 || with >= 5 {
		t.Errorf("%d rows, %d with entries, %v", len(rows), with, err)
	}
}

type without struct{ method string }

func (w without) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, w.method) {
		return nil, errors.New("it is asked")
	}
	return seen.RoundTrip(r)
}

// What is counted of the outbox is what waits, and since when.
func TestTheOutboxIsCounted(t *testing.T) {
	c, home := newClock(), rig(t)
	var kept []ledger.Kept
	for i := range 5 {
		k := ledger.Kept{ID: fmt.Sprint(i), Notice: []byte("{}"), Made: c.Now().Add(time.Duration(i) * time.Minute), Due: c.Now().Add(time.Hour)}
		if i == 0 {
			k.Due = time.Time{} // put aside
		}
		kept = append(kept, k)
	}
	expect := func(want int, since time.Time) {
		t.Helper()
		if n, oldest, err := home.Outbox(t.Context()); err != nil || n != want || !oldest.Equal(since) {
			t.Errorf("%d since %v, %v; want %d since %v", n, oldest, err, want, since)
		}
	}
	expect(0, time.Time{})
	if err := home.Keep(t.Context(), ledger.Note{Kind: "x", ID: "x"}, kept...); err != nil {
		t.Fatal(err)
	}
	expect(4, kept[1].Made)
	if err := home.Delay(t.Context(), ledger.Kept{ID: "1"}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	expect(3, kept[2].Made)
	if err := home.Delay(t.Context(), ledger.Kept{ID: "0"}, c.Now()); err != nil {
		t.Fatal(err)
	}
	expect(4, kept[0].Made)
	if aside, err := home.Aside(t.Context(), 10); err != nil || len(aside) != 1 || aside[0].ID != "1" || !aside[0].Due.IsZero() {
		t.Errorf("%+v, %v", aside, err)
	}
}

// A database that cannot be used has the statuses of a document that has changed: only one that has
// is a conflict, whatever the text says.
func TestWhatIsNoConflictIsNotTakenForOne(t *testing.T) {
	c, home := newClock(), rig(t)
	s := store(t, home, c)
	scene(t, home, s, c)
	for _, status := range []string{"FAILED_PRECONDITION", "NOT_FOUND"} {
		home.Through(saying{status})
		w := ledger.Write{Before: 2, Entry: ledger.Entry{Text: []byte("x")}, Row: ledger.Row{ID: approved, Version: 3, Summary: []byte("{}")}}
		if err := home.Put(t.Context(), w); err == nil || errors.Is(err, ledger.ErrChanged) || !strings.Contains(err.Error(), "something else") {
			t.Errorf("%s: %v", status, err)
		}
	}
	home.Through(seen)
	if d := home.doc(t, approved); d["version"] != int64(2) {
		t.Errorf("it was written: %v", d["version"])
	}
}

// saying answers commits with a status.
type saying struct{ status string }

func (s saying) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, ":commit") {
		return seen.RoundTrip(r)
	}
	body := `{"error":{"code":400,"status":"` + s.status + `","message":"something else"}}`
	return &http.Response{StatusCode: 400, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// An entry that somebody puts beside another as the same version is none.
func TestAnEntryHasOneName(t *testing.T) {
	c, home := newClock(), rig(t)
	s := store(t, home, c)
	scene(t, home, s, c)
	edited(denied, func(_ *testing.T, d document) {
		for _, name := range []string{"2", "v02", "v+2", "V2"} {
			d["entries"].(document)[name] = d["entries"].(document)["v1"]
		}
	})(t, home)
	if r, err := store(t, home, c).Open(t.Context(), denied); err != nil || r.State != access.Denied || r.Version != 3 {
		t.Errorf("%v at version %d, %v", r.State, r.Version, err)
	}
}

// meanwhile does something once, between what is read and what is written.
type meanwhile struct{ do func() }

func (m *meanwhile) RoundTrip(r *http.Request) (*http.Response, error) {
	if do := m.do; do != nil && strings.HasSuffix(r.URL.Path, ":commit") {
		m.do = nil
		do()
	}
	return seen.RoundTrip(r)
}

// Of two who do the same from the same, one has done it.
func TestOfTwoOneIsWritten(t *testing.T) {
	address, name := firestoretest.Emulator(t)
	one, other := at(t, address, name), at(t, address, name)
	put := func(before int) ledger.Write {
		return ledger.Write{Before: before, Entry: ledger.Entry{Text: []byte("x")},
			Row: ledger.Row{ID: pending, Version: before + 1, Principal: "ana@example.com", Made: time.Unix(1, 0), Summary: []byte("{}")}}
	}
	k := ledger.Kept{ID: "a message", Notice: []byte("{}"), Made: time.Unix(1, 0), Due: time.Unix(1, 0)}
	if err := one.Keep(t.Context(), ledger.Note{Kind: "x", ID: "x"}, k); err != nil {
		t.Fatal(err)
	}
	for what, do := range map[string]func(*firestore.Database) bool{
		"who leases a message": func(d *firestore.Database) bool {
			ok, err := d.Lease(t.Context(), k, "somebody")
			return ok && err == nil
		},
		"who takes a lease": func(d *firestore.Database) bool {
			ok, err := d.Hold(t.Context(), "name", fmt.Sprintf("%p", d), time.Hour)
			return ok && err == nil
		},
	} {
		first := do(one)
		if second := do(other); !first || second {
			t.Errorf("%s: %v and %v", what, first, second)
		}
	}
	if err := other.Release(t.Context(), "name", fmt.Sprintf("%p", other)); err != nil {
		t.Error(err)
	}
	if ok, err := other.Hold(t.Context(), "name", "a third", time.Hour); ok || err != nil {
		t.Errorf("what another holds was given up: %v", err)
	}
	for before := range 2 {
		one.Through(&meanwhile{func() {
			if err := other.Put(t.Context(), put(before)); err != nil {
				t.Error(err)
			}
		}})
		if err := one.Put(t.Context(), put(before)); !errors.Is(err, ledger.ErrChanged) {
			t.Errorf("version %d was written over: %v", before, err)
		}
	}
}
