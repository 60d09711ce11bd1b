package words

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"

	"jitaccess/internal/lazyregexp"
)

// message is a text with places for arguments, in a part of ICU's notation
// (https://unicode-org.github.io/icu/userguide/format_parse/messages/):
//
//	{name}                                      the argument
//	{name, plural, one {# day} other {# days}}  the form for a number; # is the number
//
// There is no quoting: braces are for arguments alone. On pages, <code>, <strong>,
// <quiet>, <address> and <br> mark text.
type message struct {
	source string
	parts  []part
}

// part is literal text, an argument, or the forms of one that is a number.
type part struct {
	text  string
	html  string // of text
	name  string
	forms map[string][]part
}

func parseMessage(text string) (message, error) {
	parts, _, err := parseParts(text, "")
	return message{text, parts}, err
}

// parseParts reads a message to its end, or one form of the number counted to its brace.
func parseParts(text, counted string) (parts []part, rest string, err error) {
	stops := "{}"
	if counted != "" {
		stops += "#"
	}
	for text != "" {
		switch literal := strings.IndexAny(text, stops); {
		case literal < 0:
			parts, text = append(parts, literalPart(text)), ""
		case literal > 0:
			parts, text = append(parts, literalPart(text[:literal])), text[literal:]
		case text[0] == '#':
			parts, text = append(parts, part{name: counted}), text[1:]
		case text[0] == '}' && counted != "":
			return parts, text[1:], nil
		case text[0] == '}':
			return nil, "", fmt.Errorf("a brace too many before %q", text)
		default:
			var p part
			if p, text, err = parseArgument(text); err != nil {
				return nil, "", err
			}
			parts = append(parts, p)
		}
	}
	if counted != "" {
		return nil, "", fmt.Errorf("a form of %s does not end", counted)
	}
	return parts, "", nil
}

var (
	argumentBegins = lazyregexp.New(`^\{([a-z]+)(}|, plural, )`)
	formBegins     = lazyregexp.New(`^([a-z]+) \{`)
)

// parseArgument reads what begins with an opening brace.
func parseArgument(text string) (p part, rest string, err error) {
	begin := argumentBegins().FindStringSubmatch(text)
	if begin == nil {
		return p, "", fmt.Errorf("neither an argument nor a plural: %s", text)
	}
	p.name, text = begin[1], text[len(begin[0]):]
	if begin[2] == "}" {
		return p, text, nil
	}
	p.forms = map[string][]part{}
	for {
		text = strings.TrimLeft(text, " ")
		if after, ends := strings.CutPrefix(text, "}"); ends {
			if p.forms["other"] == nil {
				err = fmt.Errorf("the plural of %s has no form “other”", p.name)
			}
			return p, after, err
		}
		begin := formBegins().FindStringSubmatch(text)
		if begin == nil || p.forms[begin[1]] != nil {
			return p, "", fmt.Errorf("the plural of %s is not understood at %q", p.name, text)
		}
		if p.forms[begin[1]], text, err = parseParts(text[len(begin[0]):], p.name); err != nil {
			return p, "", err
		}
	}
}

// fill writes the message with its arguments. It is a message of the language of.
func (m message) fill(of *Language, literal func(part) string, value func(name string) (string, bool)) string {
	if len(m.parts) == 1 && m.parts[0].name == "" {
		return literal(m.parts[0])
	}
	var b strings.Builder
	b.Grow(2 * len(m.source))
	var write func([]part)
	write = func(parts []part) {
		for _, p := range parts {
			if p.name == "" {
				b.WriteString(literal(p))
				continue
			}
			switch v, ok := value(p.name); {
			case !ok:
				b.WriteString("{" + p.name + "}")
			case p.forms == nil:
				b.WriteString(v)
			default:
				n, err := strconv.Atoi(strings.ReplaceAll(v, of.group, ""))
				if form := p.forms[of.plural(n)]; err == nil && form != nil {
					write(form)
				} else {
					write(p.forms["other"])
				}
			}
		}
	}
	write(m.parts)
	return b.String()
}

func literalPart(text string) part {
	return part{text: text, html: tags.Replace(template.HTMLEscapeString(text))}
}

// tags are what messages may mark text with.
var tags = strings.NewReplacer(
	"&lt;code&gt;", "<code>", "&lt;/code&gt;", "</code>",
	"&lt;strong&gt;", "<strong>", "&lt;/strong&gt;", "</strong>",
	"&lt;quiet&gt;", `<span class="quiet">`, "&lt;/quiet&gt;", "</span>",
	"&lt;address&gt;", `<span class="address">`, "&lt;/address&gt;", "</span>",
	"&lt;br&gt;", "<br>",
)
