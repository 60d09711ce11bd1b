package server_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// A browser tries a pattern in every way that it can match, with each key that is pressed.
// It gets those only with which that is soon done; all others are judged by the service alone.
func TestBrowsersGetOnlyPatternsThatTheyAreSoonDoneWith(t *testing.T) {
	for pattern, gets := range map[string]bool{
		`.{10}`:                           true,
		`^(INC|CHG)-[0-9]+`:               true,
		`^(INC|CHG)-[0-9]+: .+`:           true,
		`^[A-Z]+-[0-9]+: .+$`:             true,
		`\S+ \S+`:                         true,
		`\p{L}{5} \(.*\)`:                 true,
		`(?:really)? .*x`:                 true,
		`(?P<what>incident|change) #\d+?`: true,
		`[+*?|)]+.*x`:                     true,
		// This is none for a browser, whose script leaves it to the service.
		`{x}.{10}`: true,
		// A group is repeated.
		`(a+)+$`:              false,
		`(?:a+)+$`:            false,
		`(?:a|[ab])+$`:        false,
		`^(?:[a-z]+,?)*$`:     false,
		`^(\w+\s?){5,}$`:      false,
		`^(?:a|aa){30}$`:      false,
		`^(?P<letter>[a]?)+$`: false,
		// There are many ways.
		`.*.*.*x`:                              false,
		`^a*a*a*a*x`:                           false,
		`x|.*.*.*y`:                            false,
		`^x|.*.*y`:                             false,
		`a+b*.{2,}x`:                           false,
		`.{0,99}.{0,99}.{0,99}x`:               false,
		strings.Repeat(`a?`, 24):               false,
		strings.Repeat(`(?:a|[ab])`, 24) + `x`: false,
	} {
		w := newWorld(t)
		w.Ruled("version: 1\nrules: [{name: all, terms: {justification: [{pattern: " + strconv.Quote(pattern) + ", message: Write better.}]}}]\n")
		h, _ := serve(t, w, nil)
		code, page := readPage(h, ana, "/access/"+string(orders)+"?entitlement="+url.QueryEscape(security.String()))
		if code != 200 || !strings.Contains(page, ">Write better.</li>") {
			t.Fatalf("%s: %d\n%s", pattern, code, page)
		}
		if got := strings.Contains(page, ` data-pattern="`+pattern+`"`); got != gets || strings.Contains(page, "data-pattern") != gets {
			t.Errorf("that a browser gets %s is %v", pattern, got)
		}
	}
}
