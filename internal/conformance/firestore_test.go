package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"jitaccess/internal/ledger/firestoretest"
)

func TestMain(m *testing.M) { firestoretest.Main(m, func() error { return nil }) }

// ofFirestore is whether a check needs a database.
func ofFirestore(id string) bool { return strings.HasPrefix(id, "firestore.") }

// inEmulator gives a world a database in Google's emulator. What around makes of it stands before it.
func inEmulator(t *testing.T, around ...func(http.Handler) http.Handler) *world {
	t.Helper()
	address, name := firestoretest.Emulator(t)
	at, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var handler http.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(at)
		r.Out.Header.Set("Authorization", "Bearer owner") // the emulator's word for a service account
	}}
	for _, wrap := range around {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	w := newWorld(t)
	google := w.Endpoint
	w.Database, w.Endpoint = name, func(service string) string {
		if service == "firestore" {
			return server.URL
		}
		return google(service)
	}
	return w
}

// kept are the ids of what is in the collection of a world's database, read past the run.
func (w *world) kept(collection string) (ids []string) {
	w.t.Helper()
	r := &run{c: w.Config}
	body := query(nil, "", "")
	body["structuredQuery"].(object)["from"] = []object{{"collectionId": collection}}
	all, a := r.look(context.Background(), "test", "runQuery", body)
	if !a.ok() {
		w.t.Fatal(a.said())
	}
	for _, one := range all {
		if one.Document != nil {
			ids = append(ids, one.Document.Name[strings.LastIndexByte(one.Document.Name, '/')+1:])
		}
	}
	return ids
}

// put writes a document into the world's database, past the run.
func (w *world) put(collection, id string) {
	w.t.Helper()
	r := &run{c: w.Config}
	one := r.update(id, object{"n": integer(1)}, nil)
	one["update"].(object)["name"] = strings.Replace(r.document(id), "/"+marks+"/", "/"+collection+"/", 1)
	if _, a := r.commit(context.Background(), "test", one); !a.ok() {
		w.t.Fatal(a.said())
	}
}

// withLink is how the service refuses a query without an index, as it has been reported in public.
const withLink = "The query requires an index. You can create it here: https://console.firebase.google.com/v1/r/project/" + scratch +
	"/firestore/indexes?create_composite=Clhwcm9qZWN0cy9jb25mb3JtYW5jZS1zY3JhdGNo"

// documented has the emulator do what it does not, and the service is documented to.
func documented(emulator http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		check, method := made(r)
		switch {
		case check == "firestore.index" && method == "runQuery", check == "firestore.exempted" && method == "runQuery":
			listed(says(400, "FAILED_PRECONDITION", withLink))(w)
		case strings.Contains(r.URL.Path, "/databases/jitaccess-none/"):
			listed(says(404, "NOT_FOUND", "The database jitaccess-none does not exist for project "+scratch))(w)
		case method == "exempted":
			fmt.Fprint(w, `{"name":"x","indexConfig":{"ancestorField":"y"}}`)
		default:
			emulator.ServeHTTP(w, r)
		}
	})
}

// listed is an error as methods that answer with a list give it.
func listed(answer func(http.ResponseWriter, []byte)) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		recorder := httptest.NewRecorder()
		answer(recorder, nil)
		w.WriteHeader(recorder.Code)
		fmt.Fprintf(w, "[%s]", recorder.Body)
	}
}

// exemptedField answers which indexes a field has, which the emulator does not.
func exemptedField(emulator http.Handler) http.Handler {
	return instead("", "exempted", func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, `{"indexConfig":{}}`) })(emulator)
}

// The emulator differs where docs/firestore.md says it does, and nowhere else.
func TestTheEmulatorDiffersWhereItIsSaid(t *testing.T) {
	w := inEmulator(t, exemptedField)
	report := w.run(t.Context())
	differing := results(report, Differs)
	if want := []string{"firestore.index", "firestore.exempted", "firestore.database"}; !slices.Equal(differing, want) || len(results(report, Untried)) > 0 {
		t.Errorf("differing are %v, and not tried %v", differing, results(report, Untried))
	}
	text, err := os.ReadFile("../../docs/firestore.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range firestoreChecks {
		row := slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "| ") && strings.Contains(line, "`"+k.id+"`")
		})
		if said := slices.Contains(differing, k.id); said != row {
			t.Errorf("%s differs: %v; the list of docs/firestore.md has it: %v", k.id, said, row)
		}
	}
	if left := w.kept(marks); len(left) > 0 || report.Database != w.Database {
		t.Errorf("left are %v; the report names the database %q", left, report.Database)
	}
}

// As it is documented nothing differs.
func TestFirestoreAsDocumentedConforms(t *testing.T) {
	w := inEmulator(t, documented)
	report := w.run(t.Context())
	for _, c := range report.Checks {
		if c.Result != Passes || strings.Contains(c.Observed, "Clhwcm9") {
			t.Errorf("%s %s: %s", c.ID, c.Result, c.Observed)
		}
	}
}

// firestorePlants are differences, one or more for each check.
var firestorePlants = map[string]func(http.Handler) http.Handler{
	"firestore.precondition": instead("firestore.precondition", "commit", says(409, "ABORTED", "Too much contention.")),
	"firestore.precondition, written all the same": unconditional("firestore.precondition",
		says(400, "FAILED_PRECONDITION", "the stored version does not match")),
	"firestore.exists": instead("firestore.exists", "commit", says(400, "FAILED_PRECONDITION", "it exists")),
	"firestore.exists, written over": unconditional("firestore.exists", func(w http.ResponseWriter, body []byte) {
		_, _ = w.Write(body)
	}),
	"firestore.size":                   instead("firestore.size", "commit", says(413, "", "Too large")),
	"firestore.size, in other words":   instead("firestore.size", "commit", says(400, "INVALID_ARGUMENT", "It has too much.")),
	"firestore.clock":                  at("firestore.clock", `"readTime": "2`, `"readTime": "1`),
	"firestore.clock, of the write":    at("firestore.clock", `"timestampValue": "2`, `"timestampValue": "3`),
	"firestore.clock, not said":        at("firestore.clock", `"readTime"`, `"roadTime"`),
	"firestore.count":                  at("firestore.count", `"integerValue": "2"`, `"integerValue": "3"`),
	"firestore.count, with no order":   instead("firestore.count", "runAggregationQuery", says(400, "INVALID_ARGUMENT", "No order.")),
	"firestore.index":                  answered("firestore.index"),
	"firestore.index, without a link":  instead("firestore.index", "runQuery", says(400, "FAILED_PRECONDITION", "no matching index found")),
	"firestore.index, another status":  instead("firestore.index", "runQuery", says(400, "INVALID_ARGUMENT", withLink)),
	"firestore.exempted":               answered("firestore.exempted"),
	"firestore.exempted, not found":    instead("firestore.exempted", "runQuery", says(404, "NOT_FOUND", "no index")),
	"firestore.database":               answered("firestore.database"),
	"firestore.database, other words":  instead("firestore.database", "batchGet", says(404, "NOT_FOUND", "Not Found")),
	"firestore.database, a forbidding": instead("firestore.database", "batchGet", says(400, "FAILED_PRECONDITION", "no database")),
}

// answered is a call of a check that is answered, with nothing found.
func answered(check string) func(http.Handler) http.Handler {
	return func(google http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, _ := made(r); c == check && r.Method == http.MethodPost {
				fmt.Fprint(w, `[{"readTime":"2026-01-01T00:00:00Z"}]`)
				return
			}
			google.ServeHTTP(w, r)
		})
	}
}

// unconditional has what a check writes written without its preconditions, and answered so.
func unconditional(check string, answer func(http.ResponseWriter, []byte)) func(http.Handler) http.Handler {
	return func(google http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, method := made(r); c != check || !strings.HasSuffix(method, "commit") {
				google.ServeHTTP(w, r)
				return
			}
			var body struct{ Writes []object }
			_ = json.NewDecoder(r.Body).Decode(&body)
			for _, one := range body.Writes {
				delete(one, "currentDocument")
			}
			text, _ := json.Marshal(body)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(bytes.Replace(text, []byte("Writes"), []byte("writes"), 1))), int64(len(text))
			recorder := httptest.NewRecorder()
			google.ServeHTTP(recorder, r)
			answer(w, recorder.Body.Bytes())
		})
	}
}

// at changes what a check is answered.
func at(check, old, other string) func(http.Handler) http.Handler {
	return func(google http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if c, _ := made(r); c != check {
				google.ServeHTTP(w, r)
				return
			}
			recorder := httptest.NewRecorder()
			google.ServeHTTP(recorder, r)
			w.WriteHeader(recorder.Code)
			_, _ = io.WriteString(w, strings.ReplaceAll(recorder.Body.String(), old, other))
		})
	}
}

// A database that is otherwise in one point fails the check of that point, and no other.
func TestAPlantedDifferenceOfFirestoreFailsItsCheck(t *testing.T) {
	for name, plant := range firestorePlants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			id, _, _ := strings.Cut(name, ",")
			w := inEmulator(t, documented, plant)
			report := w.run(t.Context())
			if differing := results(report, Differs); !slices.Equal(differing, []string{id}) || len(results(report, Untried)) > 0 {
				t.Errorf("differing are %v, not tried %v", differing, results(report, Untried))
			}
			if left := w.kept(marks); len(left) > 0 {
				t.Errorf("left are %v", left)
			}
		})
	}
	for _, k := range firestoreChecks {
		if firestorePlants[k.id] == nil {
			t.Errorf("no difference is planted for %s", k.id)
		}
	}
}

// A database that fails, is busy or forbids says nothing of what is assumed, and a field that is not
// exempted, or of which that is not seen, neither.
func TestWhatFirestoreDoesNotSayIsUntried(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, []byte){
		"busy":        says(429, "RESOURCE_EXHAUSTED", "Quota exceeded."),
		"failing":     says(503, "UNAVAILABLE", "The service is currently unavailable."),
		"not allowed": says(403, "PERMISSION_DENIED", "Missing or insufficient permissions."),
	} {
		t.Run(name, func(t *testing.T) {
			w := inEmulator(t, documented, func(google http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if check, _ := made(r); ofFirestore(check) {
						listed(answer)(w)
						return
					}
					google.ServeHTTP(w, r)
				})
			})
			report := w.run(t.Context())
			if len(results(report, Differs)) > 0 || len(results(report, Untried)) != len(firestoreChecks) {
				t.Errorf("differing are %v, not tried %v", results(report, Differs), results(report, Untried))
			}
		})
	}
	for name, answer := range map[string]func(http.ResponseWriter, []byte){
		"not exempted": func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, `{"indexConfig":{"usesAncestorConfig":true}}`) },
		"not seen":     says(403, "PERMISSION_DENIED", "Missing or insufficient permissions."),
	} {
		t.Run(name, func(t *testing.T) {
			w := inEmulator(t, documented, answered("firestore.exempted"), instead("start", "exempted", answer))
			report := w.run(t.Context())
			if len(results(report, Differs)) > 0 || !slices.Equal(results(report, Untried), []string{"firestore.exempted"}) {
				t.Errorf("differing are %v, not tried %v", results(report, Differs), results(report, Untried))
			}
		})
	}
}

// A database in which there is anything else is refused, with what there is to do, and nothing is
// written in it or in the project.
func TestADatabaseThatIsNotScratchIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		around func(http.Handler) http.Handler
		put    []string
		why    string
	}{
		"in use":                    {nil, []string{"requests"}, "it has other documents (requests)"},
		"in use, beside ours":       {nil, []string{marks, "requests"}, "it has other documents (requests)"},
		"in use, and more":          {instead("start", "listCollectionIds", func(w http.ResponseWriter, _ []byte) { fmt.Fprint(w, `{"nextPageToken":"x"}`) }), nil, "in use"},
		"not there":                 {instead("start", "listCollectionIds", says(404, "NOT_FOUND", "The database does not exist.")), nil, "does not exist"},
		"in Datastore mode":         {instead("start", "listCollectionIds", says(400, "FAILED_PRECONDITION", "in Datastore Mode")), nil, "Datastore Mode"},
		"of which nothing is known": {instead("start", "listCollectionIds", says(403, "PERMISSION_DENIED", "denied")), nil, "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			around := []func(http.Handler) http.Handler{documented}
			if c.around != nil {
				around = append(around, c.around)
			}
			w := inEmulator(t, around...)
			for _, collection := range c.put {
				w.put(collection, "theirs")
			}
			_, err := Run(t.Context(), w.Config)
			refused, ok := errors.AsType[Refused](err)
			if !ok || !strings.Contains(refused.Why, c.why) || refused.Next == "" {
				t.Error(err)
			}
			w.wroteNothing()
			for _, collection := range c.put {
				if !slices.Equal(w.kept(collection), []string{"theirs"}) {
					t.Errorf("what was in %s is not there any more", collection)
				}
			}
		})
	}
	w := inEmulator(t, documented, instead("start", "listCollectionIds", says(503, "UNAVAILABLE", "later")))
	if _, err := Run(t.Context(), w.Config); err == nil || !strings.Contains(err.Error(), "cannot be looked at") {
		t.Error(err)
	}
}

// A run that is interrupted after any of its calls of the database leaves nothing in it, and what one
// left that was killed the next removes.
func TestAnInterruptedRunLeavesNothingInTheDatabase(t *testing.T) {
	for after := 5; after <= 23; after += 3 {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			var calls atomic.Int64
			w := inEmulator(t, documented, func(google http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					google.ServeHTTP(w, r)
					if calls.Add(1) == int64(after) {
						cancel()
					}
				})
			})
			w.put(marks, "left")
			calls.Store(0)
			report := w.run(ctx)
			if left := w.kept(marks); calls.Load() < int64(after) || len(left) > 0 || len(results(report, Differs)) > 0 {
				t.Errorf("after %d calls left are %v; differing %v", calls.Load(), left, results(report, Differs))
			}
		})
	}
}

// What cannot be removed is reported.
func TestWhatIsLeftInTheDatabaseIsReported(t *testing.T) {
	calls := 0
	w := inEmulator(t, documented, func(google http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			check, _ := made(r)
			if check == "end" {
				calls++
			}
			if check == "end" && calls > 1 {
				says(503, "UNAVAILABLE", "later")(w, nil)
				return
			}
			google.ServeHTTP(w, r)
		})
	})
	report, err := Run(t.Context(), w.Config)
	if err != nil || len(report.Left) != 1 || !strings.Contains(report.Left[0], marks) || len(w.kept(marks)) == 0 {
		t.Error(err, report.Left)
	}
}

// A commit that is under way when the run is interrupted is not made after the end has looked.
func TestACommitThatHasBegunIsWaitedFor(t *testing.T) {
	for nth := 1; nth <= 9; nth += 2 {
		w := inEmulator(t, documented)
		ctx, cancel := context.WithCancel(t.Context())
		var late *http.Request
		commits, through := 0, w.HTTP.Transport
		w.HTTP.Transport = sending(func(r *http.Request) (*http.Response, error) {
			if _, method := made(r); method == "commit" {
				if commits++; commits == nth {
					cancel()
				}
				if err := r.Context().Err(); err != nil && late == nil {
					late = r.Clone(t.Context())
					return nil, err
				}
			}
			return through.RoundTrip(r)
		})
		if _, err := Run(ctx, w.Config); err != nil {
			t.Fatal(err)
		}
		if late != nil {
			if _, err := through.RoundTrip(late); err != nil {
				t.Fatal(err)
			}
		}
		if left := w.kept(marks); commits < nth || len(left) > 0 {
			t.Errorf("commit %d of %d: left are %v", nth, commits, left)
		}
	}
}
