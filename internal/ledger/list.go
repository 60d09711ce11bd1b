package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
)

// How far one page of a list looks: what only few requests have may be far back.
const (
	batch    = 200
	furthest = 1000
)

// List implements broker.Memory. The home chooses by its indexes, and what it has none
// for is looked through here, furthest rows for a page.
func (s *Store) List(ctx context.Context, l access.Listing) (access.Listed, error) {
	if l.Max <= 0 || l.Max > access.MaxPage {
		l.Max = access.MaxPage
	}
	return s.list(ctx, l)
}

// Versions implements broker.Memory.
func (s *Store) Versions(ctx context.Context, ids []string) (map[string]int, error) {
	versions, err := s.c.Home.Versions(ctx, ids)
	if err != nil {
		return nil, unavailable(err)
	}
	return versions, nil
}

// queryOf is what the home chooses of a list.
func queryOf(l access.Listing) Query {
	q := Query{Principal: l.Principal, Reviewer: l.Reviewer, Resource: l.Resource, States: l.States, From: l.From, To: l.To, Max: l.Max + 1}
	if l.Unreviewed {
		q.Reviewer = unreviewed
	}
	return q
}

// list is List with Max as it is.
func (s *Store) list(ctx context.Context, l access.Listing) (listed access.Listed, err error) {
	q := queryOf(l)
	if l.Role != "" || l.Words != "" {
		q.Max = batch
	}
	if l.Attest {
		q.Entries = attestedBytes
	}
	if l.After != "" {
		if q.AfterMade, q.AfterID, err = parseCursor(l); err != nil {
			return access.Listed{}, &access.Error{Kind: access.Invalid, Code: access.CodeBadInput,
				Args: access.Args{"reason": "the list has no such page"}, Err: err}
		}
	}
	var of []Row // the requests
	defer func() {
		if l.Attest && err == nil {
			s.attest(ctx, of, listed.Requests)
		}
	}()
	for looked := 0; ; {
		rows, err := s.c.Home.List(ctx, q)
		if err != nil {
			return listed, unavailable(err)
		}
		if listed.Requests == nil && len(rows) > 0 {
			listed.Requests = make([]access.Request, 0, min(len(rows), l.Max))
		}
		for _, row := range rows {
			if len(listed.Requests) == l.Max || looked == furthest {
				listed.Next = cursor(l, q.AfterMade, q.AfterID)
				return listed, nil
			}
			looked++
			q.AfterMade, q.AfterID = row.Made, row.ID
			if r, err := summarized(row); err == nil && chosen(l, r) {
				listed.Requests, of = append(listed.Requests, r), append(of, row)
			}
		}
		if len(rows) < q.Max {
			return listed, nil
		}
	}
}

// countedPages is how many pages of furthest rows Count looks through.
const countedPages = 2

// Count implements broker.Memory.
func (s *Store) Count(ctx context.Context, l access.Listing) (counts []access.Count, whole bool, err error) {
	if l.Role == "" && l.Words == "" {
		counts, whole, err = s.c.Home.Count(ctx, queryOf(l))
		return counts, whole, unavailable(err)
	}
	l.Max = furthest
	for range countedPages {
		listed, err := s.list(ctx, l)
		if err != nil {
			return nil, false, err
		}
		for _, r := range listed.Requests {
			counts = append(counts, access.Count{Day: r.Created.UTC().Truncate(24 * time.Hour), State: r.State, Requests: 1})
		}
		if l.After = listed.Next; l.After == "" {
			return counts, true, nil
		}
	}
	return counts, false, nil
}

// summarized is the request as its row has it; what was erased, or cannot be read, has
// little to it.
func summarized(row Row) (access.Request, error) {
	var form requestForm
	if len(row.Summary) == 0 {
		return brief(row), nil
	}
	if err := json.Unmarshal(row.Summary, &form); err != nil {
		return brief(row), err
	}
	form.Terms.Justification = nil // no list needs them, and each takes memory
	return requestFrom(form)
}

// brief is what a row has of its request without reading what was asked.
func brief(row Row) access.Request {
	return access.Request{ID: row.ID, Kind: access.KindOfID(row.ID), State: row.State, Resource: row.Resource, Version: row.Version,
		Created: row.Made}
}

func chosen(l access.Listing, r access.Request) bool {
	ofRole := func(id access.EntitlementID) bool { return id.Role == l.Role }
	return (l.Role == "" || slices.ContainsFunc(r.Entitlements, ofRole)) &&
		(l.Words == "" || strings.Contains(access.FoldASCII(r.Justification), access.FoldASCII(l.Words)))
}

// cursor is where a list goes on, and which list that is.
func cursor(l access.Listing, made time.Time, id string) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(made.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(append(b, binding(l)...), id...))
}

const bindingLength = 8

// binding stands for whose list it is, which, and what was chosen. It keeps nothing
// secret: what somebody may see is chosen anew for each page.
func binding(l access.Listing) []byte {
	l.After, l.Max = "", 0
	d := digest("jitaccess ledger cursor 1", []byte(l.Viewer), []byte(l.View), []byte(l.Principal), []byte(l.Reviewer), []byte(l.Resource),
		fmt.Append(nil, l.States, l.Unreviewed), []byte(l.Role), []byte(l.Words),
		fmt.Append(nil, l.From.UnixMicro()), fmt.Append(nil, l.To.UnixMicro()))
	return []byte(d[:bindingLength])
}

func parseCursor(l access.Listing) (made time.Time, id string, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(l.After)
	if err != nil || len(b) < 8+bindingLength {
		return made, "", errors.New("not a cursor")
	}
	if !bytes.Equal(b[8:8+bindingLength], binding(l)) {
		return made, "", errors.New("a cursor of another list")
	}
	id, err = access.ParseRequestID(string(b[8+bindingLength:]))
	return time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC(), id, err
}

// Due implements broker.Memory.
func (s *Store) Due(ctx context.Context, by time.Time, after access.Due, max int, states ...access.State) ([]access.Due, error) {
	rows, err := s.c.Home.Due(ctx, by, after.At, after.ID, max, states...)
	if err != nil {
		return nil, unavailable(err)
	}
	return access.Each(rows, func(row Row) access.Due { return access.Due{ID: row.ID, State: row.State, At: row.Due} }), nil
}

func union(a, b []access.Principal) []access.Principal {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
