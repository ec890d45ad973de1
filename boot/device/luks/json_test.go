package luks

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// likeStdlib returns what encoding/json reads, in the types of parseJSON.
func likeStdlib(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if !json.Valid(b) { // more than one value
		return nil, errJSON
	}
	return convert(v), nil
}

func convert(v any) any {
	switch v := v.(type) {
	case json.Number:
		return number(v)
	case map[string]any:
		for k := range v {
			v[k] = convert(v[k])
		}
	case []any:
		for i := range v {
			v[i] = convert(v[i])
		}
	}
	return v
}

// jsonTexts are read alike by parseJSON and encoding/json.
var jsonTexts = []string{
	"{}", "[]", `""`, "0", "-0", "12", "-1.5e+10", "1E2", "0.25", "true", "false", "null",
	` { "a" : [ 1 , "two" , { } , [ ] , null ] , "b" : { "c" : false } } `,
	"\t[\r\n]", `"\"\\\/\b\f\n\r\t"`, `"größe"`, `"\u00e4\u20ac"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\ude00"`,
	"", " ", "{", "[", `"`, "{]", "[}", `{"a"}`, `{"a":}`, `{"a":1,}`, "[1,]", "[,1]", "{1:2}", `{"a":1 "b":2}`,
	"01", "1.", ".5", "+1", "1e", "-", "--1", "0x10", "NaN", "tru", "True", "nul", "1 2", "{} {}",
	`"\x41"`, `"\u12"`, `"\u12g4"`, "\"\n\"", "\"\x00\"", "'a'", "[1 2]", `["a" "b"]`, "//\n1",
}

func TestJSON(t *testing.T) {
	for _, text := range jsonTexts {
		compareJSON(t, text)
	}
}

func compareJSON(t *testing.T, text string) {
	t.Helper()
	want, wantErr := likeStdlib([]byte(text))
	got, err := parseJSON([]byte(text))
	if (err == nil) != (wantErr == nil) || !reflect.DeepEqual(got, want) {
		t.Errorf("%q: got %#v, %v; encoding/json: %#v, %v", text, got, err, want, wantErr)
	}
}

// TestJSONStricter has what encoding/json would take.
func TestJSONStricter(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"a name twice", `{"a":1,"a":1}`},
		{"not UTF-8", "\"\xff\""},
		{"too deep", strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2)},
		{"too many values", "[" + strings.Repeat("0,", maxValues) + "0]"},
	} {
		if v, err := parseJSON([]byte(tt.text)); err == nil {
			t.Errorf("%s: read as %.50v", tt.name, v)
		}
	}
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	if _, err := parseJSON([]byte(deep)); err != nil {
		t.Errorf("%s: %v", deep, err)
	}
}

func FuzzJSON(f *testing.F) {
	for _, text := range jsonTexts {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseJSON([]byte(text))
		if err != nil {
			return // there is more that is refused
		}
		if want, wantErr := likeStdlib([]byte(text)); wantErr != nil || !reflect.DeepEqual(v, want) {
			t.Errorf("%q: got %#v; encoding/json: %#v, %v", text, v, want, wantErr)
		}
	})
}
