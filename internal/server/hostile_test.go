package server_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"jitaccess/internal/access"
	"jitaccess/internal/server/storybook"
)

// A name written from right to left that has a mark on it stacked high, letters of two scripts
// that look the same, and what turns the text after it around.
const (
	leftwards = "שלום"
	stackedUp = "Z\u0301\u0316\u034c\u0301\u0316\u034c"
	lookAlike = "p\u0430ypal"
	turning   = "\u202e"
	badName   = leftwards + " " + stackedUp + " " + lookAlike
)

// names are the fields of what the broker answers in which others have written what they like.
var names = []string{"Title", "Description", "Justification", "Comment", "Label", "Value", "Subject", "Rule"}

// rename gives everything a bad name that has one, as deep as v goes.
func rename(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.Type() != reflect.TypeFor[error]() {
			rename(v.Elem())
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			rename(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			rename(v.MapIndex(key))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field, name := v.Field(i), v.Type().Field(i).Name
			switch {
			case !v.Type().Field(i).IsExported():
			case field.Kind() != reflect.String || !field.CanSet():
				rename(field)
			case field.String() == "":
			case slices.Contains(names, name), name == "Name" && v.Type() == reflect.TypeFor[access.Passkey](),
				name == "Text" && v.Type() == reflect.TypeFor[access.Bounce]():
				field.SetString(badName)
			}
		}
	}
}

// badlyNamed is a broker of whose answers every name is bad.
type badlyNamed struct{ canned }

func (b badlyNamed) Title(access.EntitlementID) string { return badName }

func (b badlyNamed) RoleTitle(access.EntitlementID) string { return badName }

// holds is whether an element holds what is written in it: bdi isolates, and texts of controls
// and of the binding stand by themselves.
func holds(n *html.Node) (order, lines bool) {
	if n.Type != html.ElementNode {
		return false, false
	}
	class := ""
	for _, a := range n.Attr {
		if a.Key == "class" {
			class = a.Val
		}
	}
	switch n.Data {
	case "pre", "textarea", "option", "title", "script", "style":
		return true, true
	case "bdi":
		return true, slices.Contains(strings.Fields(class), "stacked")
	}
	return false, slices.Contains(strings.Fields(class), "stacked")
}

// strays are the texts of a page that could turn around or cover what stands beside them.
func strays(t *testing.T, page string) []string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	var walk func(n *html.Node, order, lines bool)
	walk = func(n *html.Node, order, lines bool) {
		o, l := holds(n)
		order, lines = order || o, lines || l
		if n.Type == html.TextNode {
			before, _, is := strings.Cut(n.Data, leftwards)
			if is && !order && !strings.HasSuffix(before, "\u2068") || strings.Contains(n.Data, stackedUp) && !lines {
				found = append(found, strings.TrimSpace(n.Data))
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c, order, lines)
		}
	}
	walk(root, false, false)
	return found
}

// Whatever people, roles, projects and applications are called, on no page does it turn around
// or cover what stands around it, in its title neither.
func TestNamesStayInTheirPlace(t *testing.T) {
	seen := 0
	for _, s := range storybook.Stories() {
		t.Run(s.Name, func(t *testing.T) {
			c := canned{State: s.State()}
			a := c.State
			for _, answer := range []any{&a.Resources, &a.Offer, &a.Named, &a.Asked, &a.View, &a.Decided, &a.Ended, &a.More, &a.Extension, &a.Passkeys} {
				rename(reflect.ValueOf(answer))
			}
			for _, listed := range a.Listed {
				for i := range listed {
					rename(reflect.ValueOf(&listed[i]))
				}
			}
			h, _ := serve(t, badlyNamed{c}, c.Configure)
			page := do(h, s.HTTPRequest()).Body.String()
			if strings.Contains(page, badName) || strings.Contains(page, leftwards) {
				seen++
			}
			for _, stray := range strays(t, page) {
				t.Errorf("not held: %.300s", stray)
			}
			if strings.Contains(page, lookAlike) && !strings.Contains(page, "mixes Latin letters with Cyrillic ones") {
				t.Error("does not say that letters of two scripts are mixed")
			}
			title, _ := between(t, page, "<title>", "</title>")
			if before, _, is := strings.Cut(title, leftwards); is && !strings.HasSuffix(before, "\u2068") {
				t.Errorf("turns around: %s", title)
			}
		})
	}
	if seen < 90 {
		t.Errorf("only %d pages have a bad name", seen)
	}
}
