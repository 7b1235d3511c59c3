package plan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
)

// The wire form of a Plan: the fields of each struct in their order, without names. Both ends are the same binary, so there
// is no version; what JSON does to be read by others costs every container a millisecond.
//
//	bool         one byte, 0 or 1
//	integers     binary.AppendVarint, AppendUvarint
//	string       length, bytes
//	slice        length + 1, elements; 0 for nil
//	pointer      0 for nil, or 1 and the value
//	struct       its fields
//
// Lengths are by binary.AppendUvarint.

// Encode writes a plan down.
func Encode(p *Plan) []byte {
	return encode(make([]byte, 0, 4096), reflect.ValueOf(p).Elem())
}

func encode(b []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.Bool:
		if v.Bool() {
			return append(b, 1)
		}
		return append(b, 0)
	case reflect.Int, reflect.Int64:
		return binary.AppendVarint(b, v.Int())
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return binary.AppendUvarint(b, v.Uint())
	case reflect.String:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		return append(b, v.String()...)
	case reflect.Slice:
		if v.IsNil() {
			return append(b, 0)
		}
		b = binary.AppendUvarint(b, uint64(v.Len())+1)
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return append(b, v.Bytes()...)
		}
		for i := range v.Len() {
			b = encode(b, v.Index(i))
		}
		return b
	case reflect.Pointer:
		if v.IsNil() {
			return append(b, 0)
		}
		return encode(append(b, 1), v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			b = encode(b, v.Field(i))
		}
		return b
	}
	panic(fmt.Sprintf("plan: a %s cannot be written", v.Type())) // the round trip in the tests has every type
}

var errTruncated = errors.New("plan: it ends too early")

// Decode reads what Encode wrote.
func Decode(data []byte) (*Plan, error) {
	d := decoder{data}
	p := &Plan{}
	if err := d.value(reflect.ValueOf(p).Elem()); err != nil {
		return nil, err
	}
	if len(d.b) > 0 {
		return nil, errors.New("plan: something follows it")
	}
	return p, nil
}

type decoder struct{ b []byte }

func (d *decoder) uvarint() (uint64, error) {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		return 0, errTruncated
	}
	d.b = d.b[size:]
	return n, nil
}

// length reads a length; each of so many elements takes a byte at least.
func (d *decoder) length() (int, error) {
	n, err := d.uvarint()
	if err != nil || n > uint64(len(d.b)) {
		return 0, errTruncated
	}
	return int(n), nil
}

func (d *decoder) value(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Bool:
		n, err := d.uvarint()
		v.SetBool(n == 1)
		return err
	case reflect.Int, reflect.Int64:
		n, size := binary.Varint(d.b)
		if size <= 0 {
			return errTruncated
		}
		d.b = d.b[size:]
		v.SetInt(n)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		n, err := d.uvarint()
		v.SetUint(n)
		return err
	case reflect.String:
		n, err := d.length()
		if err != nil {
			return err
		}
		v.SetString(string(d.b[:n]))
		d.b = d.b[n:]
	case reflect.Slice:
		return d.slice(v)
	case reflect.Pointer:
		n, err := d.uvarint()
		if err != nil || n == 0 {
			return err
		}
		v.Set(reflect.New(v.Type().Elem()))
		return d.value(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if err := d.value(v.Field(i)); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("plan: a %s cannot be read", v.Type())
	}
	return nil
}

func (d *decoder) slice(v reflect.Value) error {
	n, err := d.uvarint()
	if err != nil || n == 0 {
		return err
	}
	n--
	if n > uint64(len(d.b)) {
		return errTruncated
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		v.SetBytes(append([]byte{}, d.b[:n]...))
		d.b = d.b[n:]
		return nil
	}
	v.Set(reflect.MakeSlice(v.Type(), int(n), int(n)))
	for i := range int(n) {
		if err := d.value(v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}
