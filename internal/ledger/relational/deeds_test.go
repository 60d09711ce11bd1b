package relational_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
)

func deed(of string, number int, body string) ledger.Deed {
	return ledger.Deed{Kind: ledger.DeedApplication, Of: of, Number: number, By: "ana@example.com", Body: []byte(body)}
}

// deedsOf are the bodies of what is kept of somebody.
func deedsOf(t *testing.T, s *ledger.Store, of string) (bodies []string) {
	t.Helper()
	all, err := s.Deeds(t.Context(), ledger.DeedApplication, of)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		bodies = append(bodies, string(d.Body))
	}
	return bodies
}

func isError(err error, kind access.Kind, code access.Code) bool {
	own := access.AsError(err)
	return own != nil && own.Kind == kind && own.Code == code
}

func put(t *testing.T, s *ledger.Store, all ...ledger.Deed) {
	t.Helper()
	for _, d := range all {
		if err := s.Append(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDeedsOfOneThingAreOneChain(t *testing.T) {
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			s := store(t, home, c)
			if all, err := s.Deeds(t.Context(), ledger.DeedApplication, ""); err != nil || len(all) != 0 {
				t.Fatalf("of nothing there are %v, %v", all, err)
			}
			// A name with a slash in it is a name, and so is one that ends as a number does.
			put(t, s, deed("ben@example.com", 1, "one"), deed("a/b", 1, "other"), deed("ben@example.com", 2, "two"), deed("ben@example.com/2", 1, "third"))
			put(t, s, ledger.Deed{Kind: ledger.DeedPasskeys, Of: "ben@example.com", Number: 1, Body: []byte("an application")})
			c.Advance(-time.Hour) // an instance whose clock is behind
			put(t, s, deed("ben@example.com", 3, "three"))
			if got := deedsOf(t, s, "ben@example.com"); !slices.Equal(got, []string{"one", "two", "three"}) {
				t.Errorf("of one: %v", got)
			}
			if got := deedsOf(t, s, ""); !slices.Equal(got, []string{"other", "one", "two", "three", "third"}) {
				t.Errorf("of all: %v", got)
			}
			all, err := s.Deeds(t.Context(), ledger.DeedApplication, "ben@example.com")
			want := ledger.Deed{Kind: ledger.DeedApplication, Of: "ben@example.com", Number: 3, At: c.Now(), By: "ana@example.com", Body: []byte("three")}
			if diff := cmp.Diff(want, all[2]); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
			for what, d := range map[string]ledger.Deed{"again": deed("ben@example.com", 3, "x"), "a gap": deed("ben@example.com", 5, "x"),
				"of another": deed("chloe@example.com", 2, "x"), "none": deed("ben@example.com", 0, "x")} {
				if err := s.Append(t.Context(), d); !isError(err, access.Conflict, access.CodeChangedMeanwhile) {
					t.Errorf("%s: %v", what, err)
				}
			}
			for what, d := range map[string]ledger.Deed{"no body": deed("ben@example.com", 4, ""), "of nothing": deed("", 1, "x"),
				"of no kind": {Kind: "x", Of: "x", Number: 1, Body: []byte("x")}, "too much": deed("ben@example.com", 4, strings.Repeat("x", 1<<17))} {
				if err := s.Append(t.Context(), d); access.AsError(err) == nil {
					t.Errorf("%s is kept", what)
				}
			}
			if got := deedsOf(t, s, "ben@example.com"); len(got) != 3 {
				t.Errorf("%v", got)
			}
		})
	}
}

// Of two who look at the same and act, one is told.
func TestOfDeedsAtTheSameTimeOneIsKept(t *testing.T) {
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			var all sync.WaitGroup
			kept := make([]error, 8)
			for i := range kept {
				all.Go(func() { kept[i] = store(t, home, c).Append(t.Context(), deed("ben@example.com", 1, fmt.Sprint(i))) })
			}
			all.Wait()
			winner := slices.Index(kept, nil)
			if got := deedsOf(t, store(t, home, c), "ben@example.com"); winner < 0 || !slices.Equal(got, []string{fmt.Sprint(winner)}) {
				t.Fatalf("kept %v: %v", got, kept)
			}
			for i, err := range kept {
				if i != winner && !isError(err, access.Conflict, access.CodeChangedMeanwhile) {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
}

// forgetful is a home that keeps, and says that it has not.
type forgetful struct {
	ledger.Home
	keeps bool
}

func (l forgetful) Keep(ctx context.Context, n ledger.Note, kept ...ledger.Kept) error {
	if l.keeps {
		_ = l.Home.Keep(ctx, n, kept...)
	}
	return errors.New("the connection was lost")
}

func TestADeedWhoseAnswerWasLostIsKept(t *testing.T) {
	c, home := newClock(), sqlite(t)
	if err := store(t, forgetful{home, false}, c).Append(t.Context(), deed("ben@example.com", 1, "one")); !isError(err, access.Unavailable, access.CodeLedgerUnavailable) {
		t.Errorf("what was not kept: %v", err)
	}
	if err := store(t, forgetful{home, true}, c).Append(t.Context(), deed("ben@example.com", 1, "one")); err != nil {
		t.Errorf("what was kept: %v", err)
	}
	if got := deedsOf(t, store(t, home, c), ""); !slices.Equal(got, []string{"one"}) {
		t.Error(got)
	}
}

// What people are told of a deed is kept with it, or not at all.
func TestWhatIsToldOfADeedIsKeptWithIt(t *testing.T) {
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			c, home := newClock(), open(t)
			s := store(t, home, c)
			told := access.Notice{ID: "first", Kind: access.NoticePasskeyAdded, To: []access.Principal{"ben@example.com"},
				Request: access.Request{Principal: "ben@example.com"}, Passkey: access.Passkey{Of: "ben@example.com", Credential: []byte{1, 2},
					Name: "Laptop", PublicKey: []byte{3}, RelyingParty: "jit.example.com", Synced: true, Enrolled: c.Now()}}
			if err := s.Append(t.Context(), deed("ben@example.com", 1, "one"), told, access.Notice{Kind: access.NoticePasskeyAdded}); err != nil {
				t.Fatal(err)
			}
			late := told
			late.ID = "late"
			if err := s.Append(t.Context(), deed("ben@example.com", 1, "two"), late); !isError(err, access.Conflict, access.CodeChangedMeanwhile) {
				t.Error(err)
			}
			// Another instance writes it in between.
			n, err := home.Notes(t.Context(), "deed "+ledger.DeedApplication, 1)
			if err != nil || len(n) != 1 {
				t.Fatal(n, err)
			}
			if err := home.Keep(t.Context(), n[0], ledger.Kept{ID: "late", Notice: []byte("{}"), Made: c.Now(), Due: c.Now()}); err != nil {
				t.Error(err)
			}
			taken, err := taken(s.Take(t.Context(), c.Now().Add(2*time.Hour), 0, 10, false))
			if err != nil || len(taken) != 1 || taken[0].ID != "first" || !reflect.DeepEqual(taken[0].Notice.Passkey, told.Passkey) ||
				!slices.Equal(taken[0].Notice.To, told.To) || taken[0].Notice.Request.Principal != "ben@example.com" {
				t.Errorf("%+v, %v", taken, err)
			}
		})
	}
}

// Whoever may write the database, and has no key, can take away and make nothing of it.
func TestDeedsThatSomebodyHasChangedAreNotRead(t *testing.T) {
	const ben = "ben@example.com"
	keep := func(of string, number int, sign func(text []byte) ledger.Signature, change func(*ledger.Note)) func(*testing.T, rigged) {
		return func(t *testing.T, r rigged) {
			notes, err := r.Notes(t.Context(), "deed "+ledger.DeedApplication, 10)
			if err != nil {
				t.Fatal(err)
			}
			n := notes[slices.IndexFunc(notes, func(n ledger.Note) bool { return n.ID == ben+"/3" })]
			n.ID = fmt.Sprintf("%s/%d", of, number)
			change(&n)
			if sign != nil {
				n.Signature = sign(nil)
			}
			if err := r.Keep(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	body := func(id, old, new string) func(*testing.T, rigged) {
		return func(t *testing.T, r rigged) {
			encoded := r.text(t, "SELECT body FROM notes WHERE id = ?", id)
			decoded, err := base64.StdEncoding.DecodeString(encoded)
			text := string(decoded)
			if err != nil || !strings.Contains(text, old) {
				t.Fatalf("no %q in %s", old, text)
			}
			r.exec(t, "UPDATE notes SET body = ? WHERE id = ?", b64([]byte(strings.Replace(text, old, new, 1))), id)
		}
	}
	foreign := func(t *testing.T, r rigged) {
		r.exec(t, "DELETE FROM notes WHERE id = ?", ben+"/3")
		put(t, ledger.New(ledger.Config{Home: r, Signer: keys(t, bytes.Repeat([]byte{66}, 32), secret), Now: newClock().Now}), deed(ben, 3, "three"))
	}
	for what, do := range map[string]func(*testing.T, rigged){
		"one in the middle is taken away": statement("DELETE FROM notes WHERE id = ?", ben+"/2"),
		"the first is taken away":         statement("DELETE FROM notes WHERE id = ?", ben+"/1"),
		"a text is changed":               body(ben+"/2", b64([]byte("two")), b64([]byte("222"))),
		"the last text is changed":        body(ben+"/3", b64([]byte("three")), b64([]byte("33333"))),
		"somebody else has done it":       body(ben+"/3", "ana@", "dan@"),
		"a time is changed":               statement("UPDATE notes SET made = made + 1 WHERE id = ?", ben+"/2"),
		"the last is signed by another":   foreign,
		"the last is not signed":          statement("UPDATE notes SET signature = '' WHERE id = ?", ben+"/3"),
		"a signature of ours in the middle is of another text": statement(
			"UPDATE notes SET signature = (SELECT n.signature FROM notes n WHERE n.id = ?) WHERE id = ?", ben+"/1", ben+"/2"),
		"one is copied behind":                 keep(ben, 4, nil, func(*ledger.Note) {}),
		"one is copied to somebody else":       keep("dan@example.com", 1, nil, func(*ledger.Note) {}),
		"one is made by hand":                  keep(ben, 4, func([]byte) ledger.Signature { return ledger.Signature{} }, func(n *ledger.Note) { n.Body = []byte(`{"body":"eA=="}`) }),
		"one has no number":                    statement("UPDATE notes SET id = ? WHERE id = ?", ben+"/x", ben+"/3"),
		"one has a number in another spelling": statement("UPDATE notes SET id = ? WHERE id = ?", ben+"/03", ben+"/3"),
		"one is no JSON":                       statement("UPDATE notes SET body = 'eA==' WHERE id = ?", ben+"/3"),
		"two change places":                    both(statement("UPDATE notes SET id = 'x' WHERE id = ?", ben+"/2"), statement("UPDATE notes SET id = ? WHERE id = ?", ben+"/2", ben+"/3"), statement("UPDATE notes SET id = ? WHERE id = 'x'", ben+"/3")),
		"one is of another kind":               statement("UPDATE notes SET kind = 'deed passkeys' WHERE id = ?", ben+"/2"),
	} {
		for name, open := range riggedHomes {
			t.Run(what+" in "+name, func(t *testing.T) {
				c, home := newClock(), open(t)
				s := store(t, home, c)
				put(t, s, deed(ben, 1, "one"), deed(ben, 2, "two"), deed(ben, 3, "three"), deed("chloe@example.com", 1, "hers"))
				if r, err := ledger.Verify(t.Context(), home, keys(t, secret)); err != nil || len(r.Findings) != 0 || r.Deeds != 4 || r.SelfAttested != 0 {
					t.Fatalf("untouched: %+v, %v", r, err)
				}
				do(t, home)
				all, err := s.Deeds(t.Context(), ledger.DeedApplication, "")
				if !isError(err, access.Unprocessable, access.CodeDeedsDamaged) {
					t.Errorf("all are read: %v", err)
				}
				// It is of one thing, and that is named; those of others come with it.
				damages := access.DamagesOf(err)
				if len(damages) == 0 || damages[0].Err.Args["of"] != damages[0].Of {
					t.Errorf("%v does not say of what it is", err)
				}
				if !slices.ContainsFunc(all, func(d access.Deed) bool { return d.Of == "chloe@example.com" }) {
					t.Errorf("nobody else's are read: %v", all)
				}
				for _, d := range damages {
					if slices.ContainsFunc(all, func(one access.Deed) bool { return one.Of == d.Of }) {
						t.Errorf("those of %s are read", d.Of)
					}
				}
				of, err := s.Deeds(t.Context(), ledger.DeedApplication, ben)
				if err == nil && len(of) > 0 && what != "one is copied to somebody else" {
					t.Errorf("they are read: %v", of)
				}
				if what != "one is copied to somebody else" {
					if err := s.Append(t.Context(), deed(ben, 4, "four")); err == nil {
						t.Error("one was added behind")
					}
				}
				if got := deedsOf(t, s, "chloe@example.com"); !slices.Equal(got, []string{"hers"}) {
					t.Errorf("those of somebody else: %v", got)
				}
				r, err := ledger.Verify(t.Context(), home, keys(t, secret))
				if err != nil || len(r.Findings) == 0 && r.SelfAttested == 0 {
					t.Errorf("nothing is found: %+v, %v", r, err)
				}
			})
		}
	}
}

// What is taken away at the end is found by the head that the log has.
func TestAHeadIsOverDeedsToo(t *testing.T) {
	c, home := newClock(), riggedHomes["SQLite"](t)
	s := store(t, home, c)
	before, err := s.Head(t.Context(), c.Now())
	put(t, s, deed("ben@example.com", 1, "one"), deed("ben@example.com", 2, "removed"))
	head, failed := s.Head(t.Context(), c.Now())
	if err := errors.Join(err, failed); err != nil || head.Digest == before.Digest {
		t.Fatal(err, head, before)
	}
	c.Advance(time.Minute)
	put(t, s, deed("ben@example.com", 3, "later"))
	for _, number := range []int{3, 2} {
		home.exec(t, "DELETE FROM notes WHERE id = ?", fmt.Sprintf("ben@example.com/%d", number))
		if got := deedsOf(t, s, ""); len(got) != number-1 {
			t.Errorf("%v", got)
		}
		r, err := ledger.Verify(t.Context(), home, keys(t, secret), head)
		if found := len(r.Findings) == 1 && strings.Contains(r.Findings[0].What, "as of"); err != nil || found != (number == 2) {
			t.Errorf("without deed %d: %+v, %v", number, r, err)
		}
	}
}

func TestDeedsAreExportedAndVerifiedWithoutTheDatabase(t *testing.T) {
	c, home := newClock(), sqlite(t)
	s := store(t, home, c)
	put(t, s, deed("ben@example.com", 1, "one"), deed("ben@example.com", 2, "two"))
	if _, err := s.KeepPolicy(t.Context(), []byte("rules: []")); err != nil {
		t.Fatal(err)
	}
	head, err := s.Head(t.Context(), c.Now())
	var out bytes.Buffer
	if err := errors.Join(err, ledger.ExportLines(t.Context(), home, &out)); err != nil {
		t.Fatal(err)
	}
	verify := func(text string, known ledger.Fingerprints) (ledger.Report, error) {
		exported, err := ledger.ReadExport(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return ledger.Verify(t.Context(), exported, known, head)
	}
	r, err := verify(out.String(), keys(t, secret).Fingerprints())
	if err != nil || len(r.Findings) != 0 || r.Deeds != 2 || r.Policies != 1 || r.SelfAttested != 0 {
		t.Errorf("%+v, %v\n%s", r, err, out.String())
	}
	if r, err := verify(out.String(), nil); err != nil || r.SelfAttested != 3 {
		t.Errorf("of nobody's keys: %+v, %v", r, err)
	}
	lines := strings.SplitAfter(out.String(), "\n")
	first := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, `ben@example.com/1`) })
	if r, err := verify(strings.Join(slices.Delete(lines, first, first+1), ""), keys(t, secret).Fingerprints()); err != nil || len(r.Findings) != 2 {
		t.Errorf("without the first: %+v, %v", r, err)
	}
}

// A key that has signed deeds is given up once all chains were signed anew.
func TestDeedsOutliveTheKeyThatSignedThem(t *testing.T) {
	for name, open := range homes {
		t.Run(name, func(t *testing.T) {
			c, home, other := newClock(), open(t), bytes.Repeat([]byte{8}, 32)
			with := func(secrets ...[]byte) *ledger.Store {
				return ledger.New(ledger.Config{Home: home, Signer: keys(t, secrets...), Now: c.Now, Random: rand.Reader})
			}
			put(t, with(secret), deed("ben@example.com", 1, "one"), deed("ben@example.com", 2, "two"), deed("chloe@example.com", 1, "hers"))
			if _, err := with(other).Deeds(t.Context(), ledger.DeedApplication, ""); !isError(err, access.Unprocessable, access.CodeDeedsDamaged) {
				t.Fatalf("another key reads them: %v", err)
			}
			if n, err := with(other).RenewDeeds(t.Context()); n != 0 || err == nil {
				t.Fatalf("another key alone signed them anew: %d, %v", n, err)
			}
			for _, want := range []int{2, 0} {
				if n, err := with(other, secret).RenewDeeds(t.Context()); n != want || err != nil {
					t.Fatalf("signed anew: %d, %v", n, err)
				}
			}
			if got := deedsOf(t, with(other), "ben@example.com"); !slices.Equal(got, []string{"one", "two", ""}) {
				t.Errorf("%v", got)
			}
			put(t, with(other), deed("ben@example.com", 4, "four"))
			if _, err := with(secret).Deeds(t.Context(), ledger.DeedApplication, "ben@example.com"); err == nil {
				t.Error("the key that was given up reads what was signed since")
			}
		})
	}
}

// Whoever does more than there may be of everybody stops nobody else.
func TestDeedsOfOneAreReadHoweverManyThereAreOfOthers(t *testing.T) {
	c, home := newClock(), riggedHomes["SQLite"](t)
	s := store(t, home, c)
	put(t, s, deed("ben@example.com", 1, "one"), deed("ben@example.com/2", 1, "of another name"))
	home.exec(t, `INSERT INTO notes (kind, id, made, body, algorithm, key_id, public_key, signature)
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
		SELECT 'deed `+ledger.DeedApplication+`', 'eve@example.com/' || i, i, '', '', '', '', '' FROM n`)
	if got := deedsOf(t, s, "ben@example.com"); !slices.Equal(got, []string{"one"}) {
		t.Errorf("%v", got)
	}
	put(t, s, deed("ben@example.com", 2, "two"))
	if got := deedsOf(t, s, "ben@example.com"); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%v", got)
	}
	if _, err := s.Deeds(t.Context(), ledger.DeedApplication, ""); !isError(err, access.Unprocessable, access.CodeDeedsDamaged) {
		t.Errorf("of all: %v", err)
	}
}
