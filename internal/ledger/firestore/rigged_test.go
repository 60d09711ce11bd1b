package firestore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	official "cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"jitaccess/internal/access"
	"jitaccess/internal/ledger"
	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/ledger/firestoretest"
)

// rigged is a home with somebody who may do everything in its database, and has no key. They use
// Google's own library, so that it reads what we wrote, and we read what it has written.
type rigged struct {
	*firestore.Database
	client *official.Client
	// copies are requests as they were, by id and version.
	copies map[string]map[int64]map[string]any
}

func rig(t testing.TB) rigged {
	d, address, name := opened(t)
	where, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	client, err := official.NewClientWithDatabase(context.Background(), "jit-test", name, option.WithEndpoint(where.Host), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return rigged{d, client, map[string]map[int64]map[string]any{}}
}

func (r rigged) at(id string) *official.DocumentRef {
	return r.client.Collection("requests").Doc("-" + id)
}

// doc is a request as it lies there.
func (r rigged) doc(t testing.TB, id string) map[string]any {
	t.Helper()
	one, err := r.at(id).Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return one.Data()
}

func (r rigged) set(t testing.TB, id string, data map[string]any) {
	t.Helper()
	if _, err := r.at(id).Set(t.Context(), data); err != nil {
		t.Fatal(err)
	}
}

func (r rigged) remove(t testing.TB, id string) {
	t.Helper()
	if _, err := r.at(id).Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
}

type document = map[string]any

const (
	pending  = "mpa-0000000000000001" // takes two, has one
	denied   = "mpa-0000000000000002"
	approved = "mpa-0000000000000003" // by one, and not yet written
	granted  = "mpa-0000000000000004"
	found    = "mpa-0000000000000005" // stands, and nobody made it
	broken   = "brk-0000000000000006" // and not yet written
)

var two = []access.Requirement{{Count: 2, From: []string{access.FromPeers}}}

// scene is requests in all states.
func scene(t testing.TB, home rigged, s *ledger.Store, c *clock) {
	commit := func(id string, action access.Action, by access.Principal, change func(*access.Event)) {
		t.Helper()
		r := asked(c, id).Request
		r.Reviewers = []access.Principal{"ben@example.com", "chloe@example.com", "dora@example.com"}
		if action == access.GlassBroken {
			r.Kind, r.Reviewers = access.BreakGlass, nil
		} else if action != access.RequestMade && action != access.GrantTakenIn {
			var err error
			if r, err = s.Open(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		e := access.Event{Action: action, At: c.Now(), Request: r, Caller: access.Caller{Principal: by, Subject: "subject of " + string(by), Method: "iap"}}
		if action == access.RequestApproved || action == access.RequestDenied {
			e.Decision = access.Decision{Verdict: access.Approve, By: by, At: c.Now(), Digest: r.Digest()}
		}
		if change != nil {
			change(&e)
		}
		if _, err := s.Commit(t.Context(), e, nil); err != nil {
			t.Fatal(err)
		}
		now := home.doc(t, id)
		if home.copies[id] == nil {
			home.copies[id] = map[int64]map[string]any{}
		}
		home.copies[id][now["version"].(int64)] = now
		c.Advance(time.Second)
	}
	window := func(e *access.Event) { e.Window = e.Request.WindowAt(e.At) }
	for _, id := range []string{pending, denied, approved, granted} {
		commit(id, access.RequestMade, "ana@example.com", nil)
	}
	commit(pending, access.RequestApproved, "ben@example.com", func(e *access.Event) { e.Requirements = two })
	commit(denied, access.RequestApproved, "ben@example.com", func(e *access.Event) { e.Requirements = two })
	commit(denied, access.RequestDenied, "chloe@example.com", func(e *access.Event) {
		e.Decision.Verdict, e.Decision.Comment = access.Deny, "no"
	})
	commit(approved, access.RequestApproved, "ben@example.com", window)
	commit(granted, access.RequestApproved, "ben@example.com", window)
	commit(granted, access.GrantWritten, "ben@example.com", window)
	commit(granted, access.EndAsked, "ana@example.com", nil)
	commit(found, access.GrantTakenIn, "", func(e *access.Event) {
		e.Request.Reviewers, e.Window = nil, access.Window{Start: e.At.Add(-time.Minute), End: e.At.Add(29 * time.Minute)}
	})
	commit(broken, access.GlassBroken, "ana@example.com", window)
}

// edited changes a request by hand.
func edited(id string, change func(t *testing.T, d document)) func(*testing.T, rigged) {
	return func(t *testing.T, r rigged) {
		d := r.doc(t, id)
		change(t, d)
		r.set(t, id, d)
	}
}

// field sets what a row says.
func field(id, name string, to any) func(*testing.T, rigged) {
	return edited(id, func(_ *testing.T, d document) { d[name] = to })
}

func v(version int) string { return fmt.Sprint("v", version) }

func entry(d document, version int) document { return d["entries"].(document)[v(version)].(document) }

func partsOf(d document, version int) []any { return d["parts"].(document)[v(version)].([]any) }

// body changes the text of an entry.
func body(id string, version int, old, new string) func(*testing.T, rigged) {
	return edited(id, func(t *testing.T, d document) {
		e := entry(d, version)
		text := string(e["text"].([]byte))
		if !strings.Contains(text, old) {
			t.Fatalf("no %q in %s", old, text)
		}
		e["text"] = []byte(strings.ReplaceAll(text, old, new))
	})
}

// content changes personal data, in all entries, or in one.
func content(id string, version int, old, new string) func(*testing.T, rigged) {
	return edited(id, func(t *testing.T, d document) {
		for at, all := range d["parts"].(document) {
			for _, p := range all.([]any) {
				if part := p.(document); version == 0 || at == v(version) {
					part["content"] = []byte(strings.ReplaceAll(string(part["content"].([]byte)), old, new))
				}
			}
		}
	})
}

// cut takes entries away.
func cut(id string, versions ...int) func(*testing.T, rigged) {
	return edited(id, func(t *testing.T, d document) {
		for _, n := range versions {
			delete(d["entries"].(document), v(n))
			delete(d["parts"].(document), v(n))
		}
	})
}

// back puts a request back to what it was at a version.
func back(id string, version int64) func(*testing.T, rigged) {
	return func(t *testing.T, r rigged) { r.set(t, id, r.copies[id][version]) }
}

func both(all ...func(*testing.T, rigged)) func(*testing.T, rigged) {
	return func(t *testing.T, r rigged) {
		for _, one := range all {
			one(t, r)
		}
	}
}

// inserted adds an entry behind those of a request: the last one, changed, with the parts and the
// signature that it has.
func inserted(id string, version int, change func(text map[string]any)) func(*testing.T, rigged) {
	return edited(id, func(t *testing.T, d document) {
		last := entry(d, version-1)
		var text map[string]any
		if err := json.Unmarshal(last["text"].([]byte), &text); err != nil {
			t.Fatal(err)
		}
		text["version"], text["before"] = version, ledger.Entry{Text: last["text"].([]byte)}.Digest()
		change(text)
		added := document{"text": canonical(t, text)}
		for _, name := range []string{"algorithm", "key", "public", "signature"} {
			added[name] = last[name]
		}
		d["entries"].(document)[v(version)] = added
		d["parts"].(document)[v(version)] = partsOf(d, version-1)
	})
}

// canonical writes the members in their order.
func canonical(t *testing.T, text map[string]any) []byte {
	var members []string
	for _, name := range []string{"purpose", "id", "kind", "version", "action", "at", "request", "actor", "human", "verdict", "fills", "start", "end", "parts", "before"} {
		if value, ok := text[name]; ok {
			if n, ok := value.(float64); ok {
				value = int64(n)
			}
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			members = append(members, fmt.Sprintf("%q:%s", name, encoded))
		}
	}
	return []byte("{" + strings.Join(members, ",") + "}")
}

// signedBy signs an entry again, with a key of somebody's own; unsigned has it bear none.
func signedBy(id string, version int) func(*testing.T, rigged) {
	return edited(id, func(t *testing.T, d document) {
		e := entry(d, version)
		s, err := keys(t, 66).Sign(t.Context(), e["text"].([]byte))
		if err != nil {
			t.Fatal(err)
		}
		e["algorithm"], e["key"], e["public"], e["signature"] = s.Algorithm, s.Key, s.Public, s.Bytes
	})
}

func unsigned(id string, version int) func(*testing.T, rigged) {
	return edited(id, func(t *testing.T, d document) {
		e := entry(d, version)
		e["algorithm"], e["key"], e["public"], e["signature"] = "", "", []byte{}, []byte{}
	})
}

// Whoever has the emulator's address has its databases; nobody else reads what we write there.
func opened(t testing.TB) (d *firestore.Database, address, name string) {
	address, name = firestoretest.Emulator(t)
	return at(t, address, name), address, name
}
