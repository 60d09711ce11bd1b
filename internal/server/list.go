package server

import (
	"cmp"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
)

// listView is a page of a list of requests.
type listView struct {
	Frame
	// View is one of those of the broker. Everybody: it is of everybody's requests.
	View      string
	Everybody bool
	Warnings  []string
	Rows      []rowView
	Filter    filterView
	// Next and First are addresses of other pages of the list; empty where there is none.
	Next, First string
	// Projected is as on the start page. AtPage: requests wait on the administration page too.
	Projected, AtPage bool
	// CSV, JSON and Month are addresses of the same in other forms.
	CSV, JSON, Month string
}

// rowView is a request in a list.
type rowView struct {
	// Door is as in Frame.
	Door string
	// Key is an id on the page that no other row has.
	Key                       string
	ID                        string
	Roles, Reason, On, Length string
	Resource                  access.Resource
	// Names are the names of the roles, where Roles are not they.
	Names string
	// Person is for whom it is, in words.
	Person      string
	Principal   access.Principal
	State, Tone string
	Made        *Moment
	// When is when the access ends, and when it begins if that is to come; empty where
	// there is none.
	When template.HTML
	// Ending and Extending are whether buttons for them belong beside it.
	Ending, Extending bool
	// Glass is whether the glass was broken.
	Glass bool
	// Own is whether it is to be said that somebody else has to decide it.
	Own bool
	// Attested is what is to be said of how far it is as it was recorded; empty where it is.
	Attested string
}

// filterView is what was chosen, as it was typed.
type filterView struct {
	State, Role, Resource, Person, Words, From, To string
	States                                         []option
	// Chosen is whether anything was.
	Chosen bool
}

type option struct {
	Value, Text string
	Selected    bool
}

// attested are the keys of what lists say of what is not as it was recorded.
var attested = map[access.Attestation]string{access.SignedElsewhere: "list.attestation.unattested",
	access.Altered: "list.attestation.damaged", access.PartlyErased: "list.attestation.erased", access.Unlooked: "list.attestation.unknown"}

// rowOf is a request as lists have it. Of what was erased little is left.
func (s *server) rowOf(r *http.Request, q access.Request) rowView {
	l := s.languageOf(r)
	v := rowView{ID: q.ID, Key: "row-" + q.ID, Reason: q.Justification, Person: l.Person(q),
		On: s.called(s.languageOf(r), q.Resource), Resource: q.Resource, Principal: q.Principal,
		State: l.Text("state." + string(q.State)), Tone: tones[q.State],
		Made: s.moment(r, q.Created), Glass: q.Kind == access.BreakGlass}
	if key := attested[q.Attestation]; key != "" {
		v.Attested = l.Text(key)
	}
	if length := q.Approved(); length > 0 {
		v.Length = l.Hours(length)
	}
	v.Roles = cmp.Or(q.Asking.Title, l.Series(access.Each(q.Entitlements, s.Broker.Title)), q.ID)
	if v.On = unsaid(v.Roles, v.On); v.Reason == v.Roles { // an application gave none of its own
		v.Reason = ""
	}
	if titles := l.Series(access.Each(q.Entitlements, s.Broker.RoleTitle)); q.Asking.IsZero() && titles != v.Roles && titles != "" {
		v.Roles, v.Names = titles, v.Roles
	}
	v.Ending = slices.Contains([]access.State{access.Active, access.Scheduled, access.Approved}, q.State)
	v.Extending = q.State == access.Active && q.Kind != access.BreakGlass && q.Asking.IsZero()
	begin, end := s.moment(r, q.Window.Start), s.moment(r, q.Window.End)
	switch {
	// Of what was ended early a list knows when it was to end, not when it did.
	case end == nil || slices.Contains(fruitless, q.State) || q.State == access.Ended:
	case q.Window.Start.After(s.Now()):
		v.When = l.HTML("choose.from-until", "begin", begin.HTML(), "end", end.HTML())
	default:
		v.When = l.HTML("choose.until", "end", end.HTML())
	}
	return v
}

// unsaid is the name of a resource, unless a title ends with it.
func unsaid(title, name string) string {
	if strings.HasSuffix(title, " "+name) {
		return ""
	}
	return name
}

// rowsOf are requests as lists have them. Where all are the viewer's own, that is not said.
func (s *server) rowsOf(r *http.Request, requests []access.Request, own bool) []rowView {
	var rows []rowView
	for _, q := range requests {
		row := s.rowOf(r, q)
		if own {
			row.Principal, row.Person, row.Key = "", "", row.Key+"-own"
		}
		rows = append(rows, row)
	}
	return rows
}

// listing reads what is asked of a list.
func (s *server) listing(q url.Values) (access.Listing, error) {
	l := access.Listing{After: q.Get("after"), Words: strings.TrimSpace(q.Get("q")), Role: access.Role(strings.TrimSpace(q.Get("role")))}
	if state := access.State(q.Get("state")); state != "" {
		if !slices.Contains(access.States, state) {
			return l, badInput("there is no such state", nil)
		}
		l.States = []access.State{state}
	}
	var err error
	if text := strings.TrimSpace(q.Get("resource")); text != "" {
		if l.Resource, err = access.ParseResource(text); err != nil {
			return l, s.badResource(text, err)
		}
	}
	if l.Principal, err = principal(strings.TrimSpace(q.Get("person"))); err != nil {
		return l, err
	}
	if l.From, err = day(q.Get("from")); err != nil {
		return l, err
	}
	if l.To, err = day(q.Get("to")); err == nil && !l.To.IsZero() {
		l.To = l.To.AddDate(0, 0, 1) // that day is in it
	}
	return l, err
}

// day reads a date, which is one in UTC; empty is the zero time.
func day(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, badInput("a date is written as 2006-01-02", err)
	}
	return t, nil
}

// filtered reads the filter of a page, where a resource is named without its kind too.
func (s *server) filtered(r *http.Request) (access.Listing, filterView, url.Values, error) {
	q, err := query(r)
	if err != nil {
		return access.Listing{}, filterView{}, nil, err
	}
	f := filterView{State: q.Get("state"), Role: q.Get("role"), Resource: q.Get("resource"), Person: q.Get("person"), Words: q.Get("q"),
		From: q.Get("from"), To: q.Get("to")}
	l := s.languageOf(r)
	for _, state := range access.States {
		f.States = append(f.States, option{string(state), l.Text("state." + string(state)), string(state) == f.State})
	}
	if name := strings.TrimSpace(f.Resource); name != "" && !strings.Contains(name, "/") {
		q.Set("resource", cmp.Or(s.Broker.ResourceKindNamed(name).Segment, "projects")+"/"+name)
	}
	wanted, err := s.listing(q)
	f.Chosen = sameList("", q) != ""
	return wanted, f, q, err
}

// choices are the names of what can be chosen of a list.
var choices = []string{"state", "role", "resource", "person", "q", "from", "to"}

// sameList is an address of the list of which q is, with other values for some names.
func sameList(path string, q url.Values, set ...string) string {
	same := url.Values{}
	for _, name := range choices {
		same.Set(name, q.Get(name))
	}
	for i := 0; i < len(set); i += 2 {
		same.Set(set[i], set[i+1])
	}
	for name, values := range same {
		if values[0] == "" {
			delete(same, name)
		}
	}
	if len(same) == 0 {
		return path
	}
	return path + "?" + same.Encode()
}

// list shows a page of a list.
func (s *server) list(view, path, title string) func(*http.Request) (page, error) {
	return func(r *http.Request) (page, error) {
		wanted, f, q, err := s.filtered(r)
		if err != nil {
			return page{}, err
		}
		listed, warnings, err := s.Broker.History(r.Context(), callerOf(r), view, wanted)
		if err != nil {
			return page{}, err
		}
		v := listView{Frame: s.frame(r, title), View: view, Filter: f, Warnings: s.viewWarnings(r, warnings),
			Projected: s.projected(), AtPage: view == broker.ViewReviews && s.Broker.DecidedAtPage()}
		if listed.Next != "" {
			v.Next = sameList(path, q, "after", listed.Next)
		}
		if wanted.After != "" {
			v.First = sameList(path, q)
		}
		if view == broker.ViewAll {
			v.Everybody = s.Broker.Auditor(r.Context(), callerOf(r))
			v.CSV, v.JSON, v.Month = sameList(path+".csv", q), sameList(path+".json", q), sameList(path+"/month", q, "from", "", "to", "")
		}
		v.Rows = s.rowsOf(r, listed.Requests, view != broker.ViewReviews && !v.Everybody)
		return page{template: "list", status: http.StatusOK, data: v}, nil
	}
}

// homeLists are what the start page says of requests: what somebody has, what waits for
// them, and what they wait for. It is read from the ledger alone.
type homeLists struct {
	Mine, Reviews, Pending []rowView
	// Further is of which of them there are more than are shown.
	Further struct{ Mine, Reviews, Pending bool }
	// Unread is why they cannot be had.
	Unread string
}

// Any is whether there is anything to show before access is searched for.
func (v *homeLists) Any() bool {
	return v != nil && len(v.Mine)+len(v.Reviews)+len(v.Pending) > 0
}

// maxHome is how many requests of each kind the start page shows; the lists have all.
const maxHome = 10

// homeListsOf is nil where nothing is remembered.
func (s *server) homeListsOf(r *http.Request) *homeLists {
	if !s.remembers {
		return nil
	}
	var v homeLists
	var extended []string
	for _, part := range []struct {
		rows    *[]rowView
		further *bool
		view    string
		in      []access.State
	}{
		{&v.Mine, &v.Further.Mine, broker.ViewMine, []access.State{access.Active, access.Scheduled, access.Approved}},
		{&v.Reviews, &v.Further.Reviews, broker.ViewReviews, nil},
		{&v.Pending, &v.Further.Pending, broker.ViewMine, []access.State{access.Pending}},
	} {
		listed, _, err := s.Broker.History(r.Context(), callerOf(r), part.view, access.Listing{States: part.in, Max: maxHome})
		if err != nil {
			p, _ := s.problem(r, err)
			v.Unread = s.withIncident(r, p)
			break
		}
		still := slices.DeleteFunc(listed.Requests, func(q access.Request) bool { // time may have moved it on
			return part.in != nil && !slices.Contains(part.in, q.State)
		})
		*part.further = listed.Next != ""
		*part.rows = s.rowsOf(r, still, part.view == broker.ViewMine)
		for _, q := range still {
			extended = append(extended, q.Extends)
		}
	}
	for i := range v.Mine { // one extension at a time
		v.Mine[i].Extending = v.Mine[i].Extending && !slices.Contains(extended, v.Mine[i].ID)
	}
	return &v
}

// requestPath is the address of a request that is remembered.
func requestPath(id string) string { return "/requests/" + url.PathEscape(id) }

// Path is the address of the request.
func (v rowView) Path() string { return v.Door + requestPath(v.ID) }
