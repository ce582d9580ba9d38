/**
 * /universal_parse.xsl, for browsers that ask for XML and still run XSLT: forms for module pages, tables for the rest
 * (introspect reference 1.7).
 */
export const stylesheet = `<?xml version="1.0" encoding="UTF-8"?>
<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:output method="html" encoding="UTF-8"/>
<xsl:template match="/">
<html><head><title><xsl:value-of select="local-name(*)"/></title><style>
body{font:14px/1.4 system-ui,sans-serif;margin:1em}table{border-collapse:collapse}
td,th{border:1px solid #ccc;padding:2px 6px;text-align:left;vertical-align:top}
</style></head><body><xsl:apply-templates select="*" mode="root"/></body></html>
</xsl:template>
<xsl:template match="*[@type='rlist']" mode="root">
<h1><xsl:value-of select="local-name()"/></h1>
<xsl:for-each select="*"><form method="get" action="Snh_{local-name()}"><fieldset>
<legend><xsl:value-of select="local-name()"/></legend>
<xsl:for-each select="*"><label><xsl:value-of select="local-name()"/><xsl:text> </xsl:text><input type="text" name="{local-name()}"/></label><xsl:text> </xsl:text></xsl:for-each>
<input type="submit" value="Send"/></fieldset></form></xsl:for-each>
</xsl:template>
<xsl:template match="*[@type='slist']" mode="root"><xsl:apply-templates select="*" mode="message"/></xsl:template>
<xsl:template match="*" mode="root"><xsl:apply-templates select="." mode="message"/></xsl:template>
<xsl:template match="*" mode="message"><h2><xsl:value-of select="local-name()"/></h2><xsl:call-template name="fields"/></xsl:template>
<xsl:template name="fields">
<table><xsl:for-each select="*[local-name()!='more']"><tr><th><xsl:value-of select="local-name()"/></th><td><xsl:apply-templates select="." mode="value"/></td></tr></xsl:for-each></table>
</xsl:template>
<xsl:template match="*[@type='struct']" mode="value"><xsl:for-each select="*"><xsl:call-template name="fields"/></xsl:for-each></xsl:template>
<xsl:template match="*[@type='list' or @type='set']" mode="value">
<xsl:variable name="link" select="@link"/>
<xsl:for-each select="*"><xsl:choose>
<xsl:when test="@type='struct'"><table>
<tr><xsl:for-each select="*[1]/*"><th><xsl:value-of select="local-name()"/></th></xsl:for-each></tr>
<xsl:for-each select="*"><tr><xsl:for-each select="*"><td><xsl:apply-templates select="." mode="value"/></td></xsl:for-each></tr></xsl:for-each>
</table></xsl:when>
<xsl:otherwise><xsl:for-each select="*"><div><xsl:choose>
<xsl:when test="$link"><a href="Snh_{$link}?x={.}"><xsl:value-of select="."/></a></xsl:when>
<xsl:otherwise><xsl:value-of select="."/></xsl:otherwise></xsl:choose></div></xsl:for-each></xsl:otherwise>
</xsl:choose></xsl:for-each>
</xsl:template>
<xsl:template match="*[@link]" mode="value"><a href="Snh_{@link}?x={.}"><xsl:value-of select="."/></a></xsl:template>
<xsl:template match="*" mode="value"><xsl:value-of select="."/></xsl:template>
</xsl:stylesheet>
`
