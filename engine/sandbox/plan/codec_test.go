package plan

import (
	"reflect"
	"testing"
)

// fill sets everything in a value to something that is not zero.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(-*n))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n))
	case reflect.String:
		v.SetString("text\x00" + string(rune('a'+*n%26)))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	default:
		panic(v.Type())
	}
}

func TestCodec(t *testing.T) {
	full := &Plan{}
	n := 0
	fill(reflect.ValueOf(full).Elem(), &n)
	for _, p := range []*Plan{{}, full, {UID: -1, Layers: []Layer{}, Ops: []Op{{Content: []byte{}}, {Mode: 0o1777, Size: 1 << 40}}}} {
		data := Encode(p)
		got, err := Decode(data)
		if err != nil || !reflect.DeepEqual(got, p) {
			t.Errorf("got %+v, %v, want %+v", got, err, p)
		}
		for i := range data {
			if _, err := Decode(data[:i]); err == nil {
				t.Fatalf("the first %d of %d bytes are a plan", i, len(data))
			}
		}
		if _, err := Decode(append(data, 0)); err == nil {
			t.Error("a byte too many is taken")
		}
	}
}

func FuzzDecode(f *testing.F) {
	full := &Plan{}
	n := 0
	fill(reflect.ValueOf(full).Elem(), &n)
	f.Add(Encode(full))
	f.Add(Encode(&Plan{}))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Decode(Encode(p))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Errorf("%+v became %+v, %v", p, again, err)
		}
	})
}
