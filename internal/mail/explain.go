package mail

import (
	"cmp"
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"sync"

	"jitaccess/internal/lazyregexp"
)

// symptom is what is known of something that went wrong, as far as the table of
// explanations asks for it.
type symptom struct {
	at step
	// cause is what happened; answered, when the server answered with a refusal.
	cause    cause
	code     int
	enhanced string
	// oauth is the error code of the token endpoint, as "invalid_client".
	oauth string
	text  string
}

// cause is why there is no answer, or none that may be accepted.
type cause string

const (
	answered     cause = "answered"
	noSecret     cause = "secret cannot be read"
	badSecret    cause = "secret is not usable"
	overPace     cause = "too many mails"
	noToken      cause = "no access token"
	noSuchHost   cause = "no such host"
	noResolver   cause = "name server failed"
	proxyFailed  cause = "proxy failed"
	portClosed   cause = "connection refused"
	noRoute      cause = "no route"
	timedOut     cause = "timed out"
	brokenOff    cause = "broken off"
	noTLS        cause = "no TLS"
	clearText    cause = "clear text"
	unknownRoots cause = "certificate of nobody who is trusted"
	wrongName    cause = "certificate for another name"
	wrongTime    cause = "certificate out of its time"
	failedTLS    cause = "TLS failed"
	noMechanism  cause = "no way to log in"
	tooMuch      cause = "too much was said"
	badAddress   cause = "no address"
	otherwise    cause = "something else"
)

// explanation is a row of the table: what must be so, and what it means then. Zero
// fields match everything.
type explanation struct {
	at    []step
	cause cause
	// replies are patterns of code and enhanced code, each in the words of one.
	replies [][]string
	oauth   []string
	says    []string
	// meaning is one sentence for an operator, remedy which setting or page of which
	// console puts it right.
	meaning, remedy string
}

func (x *explanation) matches(s symptom) bool {
	return x.cause == s.cause &&
		(x.at == nil || slices.Contains(x.at, s.at)) &&
		(x.oauth == nil || slices.Contains(x.oauth, s.oauth)) &&
		(x.replies == nil || slices.ContainsFunc(x.replies, s.answersWith)) &&
		(x.says == nil || slices.ContainsFunc(x.says, func(words string) bool { return strings.Contains(s.text, words) }))
}

// answersWith is whether the server's answer has all of these: "535", "4xx", "5.7.8",
// or "5.7.", which is the beginning of an enhanced code.
func (s symptom) answersWith(codes []string) bool {
	for _, c := range codes {
		class, isClass := strings.CutSuffix(c, "xx")
		switch {
		case isClass && class == strconv.Itoa(s.code/100), c == strconv.Itoa(s.code), c == s.enhanced:
		case strings.HasSuffix(c, ".") && strings.HasPrefix(s.enhanced, c):
		default:
			return false
		}
	}
	return true
}

// explain finds the first row that matches. There always is one.
func explain(s symptom) *explanation {
	all := explanations()
	return &all[slices.IndexFunc(all, func(x explanation) bool { return x.matches(s) })]
}

// ExplainBounce is what it means that a mail came back with a status, as "5.1.1", or with what the
// server said, and which setting or page of which console puts it right: as if the server had said
// it when it was told the recipient.
func ExplainBounce(status, said string) (meaning, remedy string) {
	s := symptom{at: atRecipient, cause: answered, code: 550, enhanced: status, text: strings.ToLower(oneLine(said))}
	if strings.HasPrefix(status, "4") {
		s.code = 450
	}
	if code := replies().FindString(said); code != "" {
		s.code, _ = strconv.Atoi(code)
	}
	x := explain(s)
	return x.meaning, x.remedy
}

// replies is the code with which a server's answer begins.
var replies = lazyregexp.New(`\b[45][0-9]{2}\b`)

// table is what operators meet. It explains its form itself.
//
//go:embed explanations.txt
var table string

// explanations are the rows of the table. A step or a field in it that is none panics.
var explanations = sync.OnceValue(parseExplanations)

// steps are the names of steps in the table.
var steps = map[string][]step{
	"password": {atPassword}, "token": {atToken}, "authorities": {atAuthorities}, "signing": {atSigning},
	"connect": {atConnect}, "greeting": {atGreeting}, "hello": {atHello}, "TLS": {atTLS},
	"login": {atLogin, atTokenLogin}, "token login": {atTokenLogin},
	"delivery": {atSender, atRecipient, atMessage},
	"sender":   {atSender}, "recipient": {atRecipient}, "message": {atMessage}, "answer": {atAnswer},
}

var textName = lazyregexp.New(`\{[A-Za-z]+\}`)

func parseExplanations() (rows []explanation) {
	texts := map[string]string{}
	x := explanation{cause: answered}
	for line := range strings.Lines(strings.ReplaceAll(table, "\n  ", " ")) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		alternatives := strings.Split(value, " | ")
		text := textName().ReplaceAllStringFunc(value, func(name string) string { return cmp.Or(texts[name], name) })
		name, isText := strings.CutPrefix(field, "text ")
		switch {
		case isText:
			texts["{"+name+"}"] = text
		case field == "at":
			for _, name := range alternatives {
				if steps[name] == nil {
					panic("mail: explanations.txt has no step " + name)
				}
				x.at = append(x.at, steps[name]...)
			}
		case field == "cause":
			x.cause = cause(value)
		case field == "reply":
			for _, codes := range alternatives {
				x.replies = append(x.replies, strings.Fields(codes))
			}
		case field == "oauth":
			x.oauth = alternatives
		case field == "says":
			x.says = alternatives
		case field == "means":
			x.meaning = text
		case field == "remedy":
			x.remedy = text
			rows, x = append(rows, x), explanation{cause: answered}
		case field != "":
			panic("mail: explanations.txt has no field " + field)
		}
	}
	return rows
}
