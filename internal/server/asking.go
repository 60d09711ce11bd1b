package server

import (
	"net/http"

	"jitaccess/internal/access"
)

// askingView is what an application asks for, on the page of its request.
type askingView struct {
	Application, Title string
	// Subject is what the application calls whom it is for, where that is not their address.
	Subject  string
	Unlinked bool
	Data     []datumView
	// Reason is left out where it is the title.
	Reason string
}

type datumView struct{ Label, Value string }

// viewAsking is nil for what people ask.
func (s *server) viewAsking(r *http.Request, q access.Request) *askingView {
	a, l := q.Asking, s.languageOf(r)
	if a.IsZero() {
		return nil
	}
	v := &askingView{Application: a.Application, Title: a.Title, Unlinked: a.Unlinked}
	if a.Subject != string(q.Principal) {
		v.Subject = access.Visible(a.Subject)
	}
	if q.Justification != a.Title {
		v.Reason = q.Justification
	}
	for _, d := range a.Data {
		v.Data = append(v.Data, datumView{d.Label, d.Value})
	}
	for _, d := range a.Claims {
		value := d.Value
		if value == "" {
			value = l.Text("asking.not-given")
		}
		v.Data = append(v.Data, datumView{l.Text("asking.claim", "name", d.Label), value})
	}
	return v
}

// apiAsking is the same in JSON.
type apiAsking struct {
	Application string            `json:"application"`
	Subject     string            `json:"sub"`
	Unlinked    bool              `json:"unlinked"`
	Template    string            `json:"template"`
	Title       string            `json:"title"`
	Data        []apiDatum        `json:"data"`
	Claims      []apiDatum        `json:"claims"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

type apiDatum struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Value string `json:"value"`
}

// askingOf is null for what people ask.
func askingOf(a access.Asking) *apiAsking {
	if a.IsZero() {
		return nil
	}
	data := func(all []access.Datum) []apiDatum {
		return append([]apiDatum{}, access.Each(all, func(d access.Datum) apiDatum { return apiDatum(d) })...)
	}
	return &apiAsking{a.Application, a.Subject, a.Unlinked, a.Template, a.Title, data(a.Data), data(a.Claims), a.Metadata}
}
