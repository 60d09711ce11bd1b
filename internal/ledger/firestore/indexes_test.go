package firestore_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"jitaccess/internal/ledger/firestoretest"
)

var update = flag.Bool("update", false, "write deploy/firestore.indexes.json")

const indexesFile = "../../../deploy/firestore.indexes.json"

// indexFile is deploy/firestore.indexes.json
// (https://firebase.google.com/docs/reference/firestore/indexes).
type indexFile struct {
	Indexes   []index    `json:"indexes"`
	Overrides []override `json:"fieldOverrides"`
}

type index struct {
	Collection string       `json:"collectionGroup"`
	Scope      string       `json:"queryScope"`
	Fields     []indexField `json:"fields"`
}

type indexField struct {
	Path     string `json:"fieldPath"`
	Order    string `json:"order,omitempty"`
	Contains string `json:"arrayConfig,omitempty"`
}

type override struct {
	Collection string `json:"collectionGroup"`
	Path       string `json:"fieldPath"`
	Indexes    []any  `json:"indexes"`
}

func (i index) String() string { return fmt.Sprint(i.Collection, i.Fields) }

// sent is a query as the service gets it.
type sent struct {
	From []struct {
		ID string `json:"collectionId"`
	} `json:"from"`
	Where struct {
		Composite struct {
			Filters []struct {
				Field struct {
					Field struct {
						Path string `json:"fieldPath"`
					} `json:"field"`
					Op string `json:"op"`
				} `json:"fieldFilter"`
			} `json:"filters"`
		} `json:"compositeFilter"`
	} `json:"where"`
	OrderBy []struct {
		Field struct {
			Path string `json:"fieldPath"`
		} `json:"field"`
		Direction string `json:"direction"`
	} `json:"orderBy"`
}

// index is what a query needs beside the index that there is of each field by itself: what must be
// equal, or contained, and then the order. Whatever is compared otherwise must be first in the
// order, and the name is in each index in the direction of what is before it
// (https://cloud.google.com/firestore/docs/query-data/index-overview). ok is whether there is any.
func (q sent) index() (i index, ok bool, err error) {
	i = index{Collection: q.From[0].ID, Scope: "COLLECTION"}
	for _, f := range q.Where.Composite.Filters {
		switch path := f.Field.Field.Path; f.Field.Op {
		case "EQUAL", "IN":
			i.Fields = append(i.Fields, indexField{Path: path, Order: "ASCENDING"})
		case "ARRAY_CONTAINS":
			i.Fields = append(i.Fields, indexField{Path: path, Contains: "CONTAINS"})
		default:
			if q.OrderBy[0].Field.Path != path {
				return i, false, fmt.Errorf("%s is compared, and %s is the order", path, q.OrderBy[0].Field.Path)
			}
		}
	}
	slices.SortFunc(i.Fields, func(a, b indexField) int { return strings.Compare(a.Path, b.Path) })
	last := len(q.OrderBy) - 1
	if q.OrderBy[last].Field.Path != "__name__" || last > 0 && q.OrderBy[last].Direction != q.OrderBy[last-1].Direction {
		return i, false, fmt.Errorf("the name is not last in the order, or in another direction")
	}
	for _, o := range q.OrderBy[:last] {
		i.Fields = append(i.Fields, indexField{Path: o.Field.Path, Order: o.Direction})
	}
	return i, len(i.Fields) > 1, nil
}

// queries notes all that are sent by the tests of this package, by what index they need.
type queries struct {
	base http.RoundTripper
	mu   sync.Mutex
	need map[string]index
	odd  []error
}

var seen = &queries{base: http.DefaultTransport, need: map[string]index{}}

func (q *queries) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "Query") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		var sends struct {
			Query       *sent `json:"structuredQuery"`
			Aggregation struct {
				Query *sent `json:"structuredQuery"`
			} `json:"structuredAggregationQuery"`
		}
		if err := json.Unmarshal(body, &sends); err != nil {
			return nil, err
		}
		if sends.Query == nil {
			sends.Query = sends.Aggregation.Query
		}
		i, ok, err := sends.Query.index()
		q.mu.Lock()
		if err != nil {
			q.odd = append(q.odd, err)
		} else if ok {
			q.need[i.String()] = i
		}
		q.mu.Unlock()
	}
	return q.base.RoundTrip(r)
}

func TestMain(m *testing.M) { firestoretest.Main(m, indexed) }

// indexed is whether every query that any test has sent has its index.
func indexed() error {
	file, err := readIndexes()
	if err != nil {
		return err
	}
	for name, i := range seen.need {
		if !slices.ContainsFunc(file.Indexes, func(f index) bool { return f.String() == i.String() }) {
			return fmt.Errorf("deploy/firestore.indexes.json has no index for a query that was sent: %s", name)
		}
	}
	if len(seen.odd) > 0 {
		return seen.odd[0]
	}
	return nil
}

func readIndexes() (file indexFile, err error) {
	text, err := os.ReadFile(indexesFile)
	if err == nil {
		err = json.Unmarshal(text, &file)
	}
	return file, err
}

// doctor sends a query for each index, and there is no index that none needs. Fields with what is
// only ever read whole have no index: of the maps, their fields have none either
// (https://cloud.google.com/firestore/docs/solutions/index-map-field).
func TestIndexesAreThoseOfTheQueries(t *testing.T) {
	mine := &queries{need: map[string]index{}, base: http.DefaultTransport}
	d, _ := answering(t, 200, "[]")
	d.Through(mine)
	d.Examine(t.Context())
	if len(mine.odd) > 0 {
		t.Fatal(mine.odd)
	}
	want := indexFile{Overrides: []override{}}
	for _, key := range slices.Sorted(maps.Keys(mine.need)) {
		want.Indexes = append(want.Indexes, mine.need[key])
	}
	for _, field := range []string{"notes body", "outbox notice", "requests entries", "requests parts", "requests summary"} {
		collection, path, _ := strings.Cut(field, " ")
		want.Overrides = append(want.Overrides, override{collection, path, []any{}})
	}
	text, err := json.MarshalIndent(want, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if text = append(text, '\n'); *update {
		if err := os.WriteFile(indexesFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if is, err := os.ReadFile(indexesFile); err != nil || !bytes.Equal(is, text) {
		t.Errorf("deploy/firestore.indexes.json differs from the queries (-update): %v", err)
	}
}
