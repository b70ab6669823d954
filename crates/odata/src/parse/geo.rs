//! Geo values: checked against the grammar, kept as text. Source: ABNF `fullCollectionLiteral` and similar productions.

use super::{ParseResult, Parser};

impl Parser<'_> {
    /// `sridLiteral = "SRID" EQ 1*5DIGIT SEMI`, then one shape.
    pub fn geo_value(&mut self) -> ParseResult<()> {
        if !self.eat_text("SRID") {
            return Err(self.expected("SRID"));
        }
        self.expect(b'=')?;
        let digits = self.bytes[self.pos..].iter().take(5).take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return Err(self.expected("a digit"));
        }
        self.pos += digits;
        self.expect(b';')?;
        self.geo_shape()
    }

    /// `geoLiteral`: the name of the shape determines how its data is nested.
    fn geo_shape(&mut self) -> ParseResult<()> {
        self.node()?;
        // Longer names first, because no name may be a prefix of a later one.
        if self.eat_text("GeometryCollection") {
            return self.nested(|p| p.geo_list(1, Self::geo_shape));
        }
        if self.eat_text("MultiLineString") {
            return self.geo_list(0, Self::line);
        }
        if self.eat_text("MultiPoint") {
            return self.geo_list(0, |p| p.geo_list_of(1, 1, Self::position));
        }
        if self.eat_text("MultiPolygon") {
            return self.geo_list(0, Self::polygon);
        }
        if self.eat_text("LineString") {
            return self.line();
        }
        if self.eat_text("Point") {
            return self.geo_list_of(1, 1, Self::position);
        }
        if self.eat_text("Polygon") {
            return self.polygon();
        }
        Err(self.expected(
            "Point, LineString, Polygon, MultiPoint, MultiLineString, MultiPolygon or GeometryCollection",
        ))
    }

    /// `lineStringData = OPEN positionLiteral 1*( COMMA positionLiteral ) CLOSE`
    fn line(&mut self) -> ParseResult<()> {
        self.geo_list(2, Self::position)
    }

    /// `polygonData = OPEN ringLiteral *( COMMA ringLiteral ) CLOSE`
    fn polygon(&mut self) -> ParseResult<()> {
        self.geo_list(1, |p| p.geo_list(1, Self::position))
    }

    fn geo_list(&mut self, least: usize, member: impl Fn(&mut Self) -> ParseResult<()>) -> ParseResult<()> {
        self.geo_list_of(least, self.limits.list, member)
    }

    fn geo_list_of(
        &mut self,
        least: usize,
        most: usize,
        member: impl Fn(&mut Self) -> ParseResult<()>,
    ) -> ParseResult<()> {
        self.expect(b'(')?;
        if least == 0 && self.eat(b')') {
            return Ok(());
        }
        let mut members = 0;
        loop {
            self.node()?;
            member(self)?;
            members += 1;
            if members >= least && (members >= most || self.peek() != Some(b',')) {
                return self.expect(b')');
            }
            self.expect(b',')?;
        }
    }

    /// `positionLiteral = doubleValue SP doubleValue [ SP doubleValue ] [ SP doubleValue ]`
    fn position(&mut self) -> ParseResult<()> {
        self.number()?;
        self.expect(b' ')?;
        self.number()?;
        for _ in 0..2 {
            if self.eat(b' ') {
                self.number()?;
            }
        }
        Ok(())
    }
}
