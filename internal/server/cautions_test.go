package server_test

import (
	"context"
	"strings"
	"testing"

	"jitaccess/internal/access"
	"jitaccess/internal/server"
)

// cautious is a broker with something that administrators are to know.
type cautious struct {
	*world
	all []*access.Error
}

func (c cautious) Cautions(context.Context, access.Caller) []*access.Error { return c.all }

// What administrators are to know of a resource leads to its page, and what is of none leads nowhere.
func TestACautionLeadsToItsResource(t *testing.T) {
	unknown := func(on access.Resource) *access.Error {
		return &access.Error{Kind: access.Conflict, Code: access.CodeGrantUnknown,
			Args: access.Args{"id": "mpa-1", "principal": string(ana), "resource": string(on)}}
	}
	for _, x := range []struct {
		caution *access.Error
		link    string
	}{
		{unknown(orders), `<a href="/access/projects/acme-orders-prod">Open acme-orders-prod</a>`},
		{unknown("folders/123"), `<a href="/access/folders/123">Open folder 123</a>`},
		{unknown(`projects/"><script>`), `<a href="/access/projects/%22%3e%3cscript%3e">Open &#34;&gt;&lt;script&gt;</a>`},
		{&access.Error{Kind: access.Conflict, Code: access.CodeLedgerOld}, ""},
	} {
		w := newWorld(t)
		h, _ := serve(t, w, func(c *server.Config) { c.Broker = cautious{w, []*access.Error{x.caution}} })
		_, note, _ := strings.Cut(do(h, request("GET", "/")).Body.String(), `<section class="note wait"`)
		note, _, _ = strings.Cut(note, "</section>")
		if !strings.Contains(note, x.link) || strings.Contains(note, "<a ") != (x.link != "") {
			t.Errorf("%v: not %q in %s", x.caution, x.link, note)
		}
	}
}
