//! Tests of `minify`.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

fn check(source: &str, expected: &Expect) {
    let small = minify(source).unwrap();
    expected.assert_eq(&small);
    assert_eq!(minify(&small).unwrap(), small, "what is small stays");
}

#[test]
fn comments_and_docstrings_go_and_lines_stay() {
    check(
        r#""""What this module is for."""

# A comment.
import time  # and another

class Led:
    """An LED.

    It blinks.
    """

    def on(self, level = 1):
        'Switch it on.'
        # On.
        return  self . pin ( level )

    def off(self):
        """Only a docstring."""
"#,
        &expect![[r"



            import time

            class Led:





             def on(self,level=1):


              return self.pin(level)

             def off(self):
              0
        "]],
    );
}

#[test]
fn micropython_decorators_assembler_and_const_survive() {
    check(
        r"from micropython import const
_X = const( 1 << 3 )  # private
@micropython.viper
def add(a: int, b: ptr8) -> int:
    return a + int(b[0])

@micropython.asm_thumb
def go(r0):
    label( LOOP )
    mov( r1, 0xff )   # assembler
    b( LOOP )
@rp2.asm_pio(set_init = rp2.PIO.OUT_LOW)
def blink():
    wrap_target()
    set(pins, 1)   [31]
    wrap()
",
        &expect![[r"
            from micropython import const
            _X=const(1<<3)
            @micropython.viper
            def add(a:int,b:ptr8)->int:
             return a+int(b[0])

            @micropython.asm_thumb
            def go(r0):
             label(LOOP)
             mov(r1,0xff)
             b(LOOP)
            @rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)
            def blink():
             wrap_target()
             set(pins,1)[31]
             wrap()
        "]],
    );
}

#[test]
fn strings_keep_every_byte() {
    check(
        "a = '  # no comment '\nb = f'{ a !r:>{ 4 }} # {a}' 'x'\nc = '''one\n   two  # three\n'''\nd = b'\\x00'  rb'\\d'\n",
        &expect![[r"
            a='  # no comment '
            b=f'{ a !r:>{ 4 }} # {a}' 'x'
            c='''one
               two  # three
            '''
            d=b'\x00' rb'\d'
        "]],
    );
}

#[test]
fn lines_that_continue_stay_apart() {
    check(
        "x = ( 1 +   # one\n\n      2 )\nif x and \\\n     not y:\n    pass ; z = 1\ny = [\n    1 ,\n]\n",
        &expect![[r"
            x=(1+

            2)
            if x and\
            not y:
             pass;z=1
            y=[
            1,
            ]
        "]],
    );
}

#[test]
fn neighbours_do_not_become_one() {
    check(
        "a = 1 .real\nb = 1 if a else - - 2\nc = not  a\nd = 0x1f or 2\nprint('a'if b else'b')\nx = 1. .real\n",
        &expect![[r"
        a=1 .real
        b=1 if a else--2
        c=not a
        d=0x1f or 2
        print('a' if b else 'b')
        x=1. .real
    "]],
    );
}

#[test]
fn a_docstring_that_something_needs_leaves_a_nought() {
    check(
        "def a(): 'only'\ndef b():\n    'doc' ; return 1\ndef c():\n    'doc' # and a comment\n    return 2\n",
        &expect![[r"
        def a():0
        def b():
         0;return 1
        def c():

         return 2
    "]],
    );
}

#[test]
fn every_line_end_and_a_mark_are_understood() {
    check(
        "\u{feff}a = 1\r\nb = '''x\r\ny'''\r\nc = 2 # c\r",
        &expect![[r"
        a=1
        b='''x
        y'''
        c=2
    "]],
    );
}

#[test]
fn what_is_not_python_says_where() {
    let error = |source: &str| minify(source).unwrap_err().to_string();
    expect!["line 3, column 1: Expected `,`, found name"].assert_eq(&error("a = 1\nprint('ä'\nb = 2\n"));
    expect!["line 2, column 1: Expected an indented block after `if` statement"].assert_eq(&error("if a:\nb = 1\n"));
    expect!["line 2, column 5: Expected an expression"].assert_eq(&error("a = 1\r\nb = \r\n"));
    assert_eq!(check_syntax("print 'x'\n").unwrap_err().line, 1);
    assert_eq!(check_syntax("\u{feff}print('x')\n"), Ok(()));
    assert_eq!(minify("").unwrap(), "");
    assert_eq!(minify("# only a comment\n").unwrap(), "");
}

/// Lines that make many programs when they are put under each other with the right indentation.
const LINES: [&str; 14] = [
    "x = 1  # c",
    "'string'",
    "\"\"\"two\n  lines\"\"\"",
    "def f( a , b = 2 ):",
    "class C :",
    "if x :",
    "while  True :",
    "return",
    "f'{ x }' 'y'",
    "y = ( 1 ,\n\n  2 )",
    "x = 1 + \\\n   2",
    "",
    "# comment",
    "a ; b ; 'c'",
];

proptest! {
    #[test]
    fn the_small_source_means_the_same(picks in prop::collection::vec((0..LINES.len(), 0_usize..3), 0..25)) {
        let mut source = String::new();
        let mut depth = 0;
        for (pick, dedent) in picks {
            let line = LINES[pick];
            let opens = line.ends_with(':');
            source += &[&"    ".repeat(depth), line, "\n"].concat();
            if opens {
                depth += 1;
                source += &[&"    ".repeat(depth), "'doc'\n"].concat();
            } else if !line.is_empty() {
                depth = depth.saturating_sub(dedent);
            }
        }
        let Ok(small) = minify(&source) else { return Ok(()) };
        let (before, after) = (parse(&source).unwrap(), parse(&small).unwrap());
        prop_assert_eq!(pieces(&source, &before), pieces(&small, &after));
        prop_assert!(small.len() <= source.len());
    }

    #[test]
    fn any_text_is_minified_or_refused(source in "[a-z'\"\\\\\\n\\r\\t #:(){}\\[\\]=f;0é]{0,60}") {
        let _ = minify(&source);
        let _ = check_syntax(&source);
    }
}
