package firestore

import (
	"context"
	"errors"

	"jitaccess/internal/access"
)

// query is one of a collection, as the service takes it. What it needs as an index follows from
// it (https://cloud.google.com/firestore/docs/query-data/index-overview).
type query struct {
	Select  *selection   `json:"select,omitempty"`
	From    []collection `json:"from"`
	Where   *filter      `json:"where,omitempty"`
	OrderBy []order      `json:"orderBy"`
	StartAt *cursor      `json:"startAt,omitempty"`
	Limit   int          `json:"limit,omitempty"`
}

type selection struct {
	Fields []field `json:"fields"`
}

type collection struct {
	ID string `json:"collectionId"`
}

type field struct {
	Path string `json:"fieldPath"`
}

type filter struct {
	Composite *composite   `json:"compositeFilter,omitempty"`
	Field     *fieldFilter `json:"fieldFilter,omitempty"`
}

type composite struct {
	Op      string   `json:"op"`
	Filters []filter `json:"filters"`
}

type fieldFilter struct {
	Field field  `json:"field"`
	Op    string `json:"op"`
	Value value  `json:"value"`
}

type order struct {
	Field     field  `json:"field"`
	Direction string `json:"direction"`
}

type cursor struct {
	Values []value `json:"values"`
	Before bool    `json:"before"`
}

// Operators, and directions.
const (
	equal    = "EQUAL"
	less     = "LESS_THAN"
	atMost   = "LESS_THAN_OR_EQUAL"
	more     = "GREATER_THAN"
	atLeast  = "GREATER_THAN_OR_EQUAL"
	among    = "IN"
	contains = "ARRAY_CONTAINS"

	up   = "ASCENDING"
	down = "DESCENDING"
)

// name is the field that is the name of a document.
const name = "__name__"

// from is a query of a collection in an order, and then by names in the same direction.
func from(of, direction string, by ...string) *query {
	q := &query{From: []collection{{of}}}
	for _, path := range append(by, name) {
		q.OrderBy = append(q.OrderBy, order{field{path}, direction})
	}
	return q
}

// where adds a condition.
func (q *query) where(path, op string, v value) *query {
	if q.Where == nil {
		q.Where = &filter{Composite: &composite{Op: "AND"}}
	}
	q.Where.Composite.Filters = append(q.Where.Composite.Filters, filter{Field: &fieldFilter{field{path}, op, v}})
	return q
}

// only has nothing but some fields of each document; the price is the same.
func (q *query) only(paths ...string) *query {
	q.Select = &selection{}
	for _, path := range paths {
		q.Select.Fields = append(q.Select.Fields, field{path})
	}
	return q
}

// after begins behind a place in the order.
func (q *query) after(values ...value) { q.StartAt = &cursor{Values: values} }

// run calls each with the documents of a query, at most max. It stops at an error of each.
func (d *Database) run(ctx context.Context, q *query, max int, each func(document) error) error {
	q.Limit = max
	return d.read(ctx, ":runQuery", map[string]any{"structuredQuery": q}, each)
}

// count is how many documents a query finds.
func (d *Database) count(ctx context.Context, q *query) (n int, err error) {
	body := map[string]any{"structuredAggregationQuery": map[string]any{"structuredQuery": q,
		"aggregations": []any{map[string]any{"alias": "n", "count": map[string]any{}}}}}
	err = d.read(ctx, ":runAggregationQuery", body, func(one document) error {
		n = int(one.Fields["n"].number())
		return nil
	})
	return n, err
}

// stride is how many documents are asked for at a time where all are wanted.
const stride = 100

// errStands is of pages that do not end.
var errStands = errors.New("the service answers with what came before, and not with what comes next")

// all is run page by page, without the service being waited for while each works.
func (d *Database) all(ctx context.Context, q *query, max int, each func(document) error) error {
	for before := ""; max > 0; {
		var page []document
		if err := d.run(ctx, q, min(stride, max), func(one document) error {
			page = append(page, one)
			return nil
		}); err != nil {
			return err
		}
		if len(page) > 0 && page[len(page)-1].Name == before {
			return errStands
		}
		for _, one := range page {
			if err := each(one); err != nil {
				return err
			}
		}
		if len(page) < stride {
			return nil
		}
		max -= len(page)
		next, last := *q, page[len(page)-1]
		next.after(q.place(last)...)
		q, before = &next, last.Name
	}
	return nil
}

// place is where a document is in the order of a query.
func (q *query) place(of document) (at []value) {
	for _, o := range q.OrderBy {
		if o.Field.Path == name {
			at = append(at, value{Reference: of.Name})
		} else {
			at = append(at, of.Fields[o.Field.Path])
		}
	}
	return at
}

// anyOf chooses by states.
func (q *query) anyOf(states []access.State) *query {
	values := access.Each(states, text[access.State])
	if len(values) == 1 {
		return q.where(state, equal, values[0])
	}
	if len(values) > 1 {
		return q.where(state, among, list(values))
	}
	return q
}
