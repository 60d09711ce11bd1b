package access_test

import (
	"reflect"
	"testing"

	"jitaccess/internal/access"
)

// A decision is about everything that an application asks for, and what people ask has the
// digest that it had before there were applications.
func TestTheDigestHasWhatAnApplicationAsksFor(t *testing.T) {
	r := access.Request{ID: "mpa-AAAAAAAAAAAAAAAA", Kind: access.Peers, Principal: "ana@example.com"}
	r.Asking = access.Asking{Application: "deployer", Data: []access.Datum{{}}, Claims: []access.Datum{{}}, Metadata: map[string]string{"a": "b"}}
	seen := map[string]string{r.Digest(): "nothing"}
	differs := func(what string, q access.Request) {
		if before, twice := seen[q.Digest()]; twice {
			t.Errorf("%s is the same as %s", what, before)
		}
		seen[q.Digest()] = what
	}
	for i := range reflect.TypeFor[access.Asking]().NumField() {
		q := r
		v := reflect.ValueOf(&q.Asking).Elem().Field(i)
		name := reflect.TypeFor[access.Asking]().Field(i).Name
		switch v.Kind() {
		case reflect.String:
			v.SetString("another")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Map:
			q.Asking.Metadata = map[string]string{"a": "c"}
		case reflect.Slice:
			for k := range 3 {
				q := r
				data := []access.Datum{{}}
				reflect.ValueOf(&data[0]).Elem().Field(k).SetString("x")
				reflect.ValueOf(&q.Asking).Elem().Field(i).Set(reflect.ValueOf(data))
				differs(name, q)
			}
			continue
		}
		differs(name, q)
	}
	q := r
	q.Extends = "mpa-BBBBBBBBBBBBBBBB"
	differs("an extension", q)
}
